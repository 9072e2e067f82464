/** What the owner decides about gold. Each decision can be undone, and is an event in the ledger. */

import { send } from "../shared/api.js";
import { element } from "../shared/dom.js";
import { decide } from "./decision.js";
import { counted } from "./format.js";
import { UNDONE, offerUndo } from "./undo.js";

const LATER = "Answers given so far go on counting as they stand; answers that come later judge nobody.";
const LAST = " It is the last gold that is asked: until there is other gold, nobody on probation is cleared by itself.";

/** @param {string} id @param {string} act */
function goldPath(id, act) {
  return `/owner/gold/${encodeURIComponent(id)}/${act}`;
}

/** @param {string} id */
async function retireAgain(id) {
  await send("POST", goldPath(id, "retire"), { reason: UNDONE });
}

/** @param {string} id */
async function bringBackAgain(id) {
  await send("POST", goldPath(id, "bring_back"), { reason: UNDONE });
}

/**
 * Make decisions that show anew what they changed.
 * @param {() => Promise<void>} reload
 */
export function goldActs(reload) {
  /** @param {string} what @param {() => Promise<void>} undo */
  const done = async (what, undo) => {
    offerUndo(what, async () => {
      await undo();
      await reload();
    });
    await reload();
  };

  /** @param {string} queryId @param {string} choice */
  const makeOf = async (queryId, choice) => {
    const made = await send("POST", "/owner/gold", { query_id: queryId, choice });
    await done("The query is asked as gold from now on.", () => retireAgain(made.gold_id));
  };

  return {
    /** @param {any} disagreement @param {any} candidate @param {number} number */
    makeGold(disagreement, candidate, number) {
      const votes = disagreement.votes.filter((/** @type {any} */ vote) => vote.choice === candidate.candidate_id).length;
      decide({
        heading: `Make gold of response ${number}?`,
        text: `It was the choice of ${counted(votes, "labeler")}. From now on the query is mixed in unseen, and `
          + "this answer counts as the right one. Gold trains nothing.",
        confirm: "Make gold",
        needsReason: false,
        act: () => makeOf(disagreement.query_id, candidate.candidate_id),
      });
    },

    /** @param {any} agreement */
    makeOfAgreement(agreement) {
      const number = agreement.candidates.findIndex((/** @type {any} */ each) => each.candidate_id === agreement.choice) + 1;
      decide({
        heading: `Make gold of response ${number}?`,
        text: `All ${counted(agreement.votes.length, "labeler")} who were asked chose it. From now on the query is `
          + "mixed in unseen for others, and this answer counts as the right one. Gold trains nothing.",
        confirm: "Make gold",
        needsReason: false,
        act: () => makeOf(agreement.query_id, agreement.choice),
      });
    },

    /** @param {number} numCandidates */
    write(numCandidates) {
      const fields = new GoldFields("", Array.from({ length: numCandidates }, () => ""), 0);
      const language = element("input", { type: "text", id: "gold-language", maxlength: 35, spellcheck: false });
      decide({
        heading: "Write gold",
        text: "A query whose right answer you know. It is mixed in unseen, so let it look like the run's own. Gold trains nothing.",
        confirm: "Ask it from now on",
        needsReason: false,
        fields: [
          ...fields.all,
          element("label", { for: "gold-language" }, "Its language, where the run's prompts say theirs: a tag such as en"),
          language,
        ],
        act: async () => {
          const made = await send("POST", "/owner/gold/written", { ...fields.said(), language: language.value.trim() });
          await done("What you wrote is asked as gold from now on.", () => retireAgain(made.gold_id));
        },
      });
    },

    /** @param {any} gold */
    edit(gold) {
      const right = gold.candidates.findIndex((/** @type {any} */ each) => each.candidate_id === gold.answer);
      const texts = gold.candidates.map((/** @type {any} */ each) => each.text);
      const isChat = gold.prompt.messages.length > 0;
      const fields = new GoldFields(isChat ? null : gold.prompt.text, texts, right);
      decide({
        heading: "Edit gold",
        text: `A new version is asked from now on, and this one is retired.${isChat ? " The chat before the responses stays as it is." : ""} ${LATER}`,
        confirm: "Ask the new version",
        fields: fields.all,
        act: async (reason) => {
          const made = await send("POST", goldPath(gold.gold_id, "edit"), { ...fields.changed(), reason });
          if (made.gold_id === gold.gold_id) {
            offerUndo("Nothing was changed.", null);
            return;
          }
          await done("The new version is asked from now on.", () => bringBackAgain(gold.gold_id));
        },
      });
    },

    /** @param {any} gold @param {boolean} isLast */
    retire(gold, isLast) {
      decide({
        heading: "Retire this gold?",
        text: `It is asked of nobody from now on. ${LATER}${isLast ? LAST : ""}`,
        confirm: "Retire it",
        isDangerous: true,
        act: async (reason) => {
          await send("POST", goldPath(gold.gold_id, "retire"), { reason });
          await done("Gold is retired.", () => bringBackAgain(gold.gold_id));
        },
      });
    },

    /** @param {any} gold */
    bringBack(gold) {
      const inPlace = gold.replaced_by === null ? "" : " If the version that took its place is still asked, it is retired.";
      decide({
        heading: "Bring this gold back?",
        text: `It is asked again, and judges by answers from now on.${inPlace}`,
        confirm: "Bring it back",
        act: async (reason) => {
          const back = await send("POST", goldPath(gold.gold_id, "bring_back"), { reason });
          await done("Gold is asked again.", () =>
            back.replaces === null ? retireAgain(gold.gold_id) : bringBackAgain(back.replaces));
        },
      });
    },
  };
}

/** The fields of a query written by hand. */
class GoldFields {
  /**
   * @param {string | null} prompt null: a chat, which stays as it is
   * @param {string[]} candidates
   * @param {number} answer index of the right one
   */
  constructor(prompt, candidates, answer) {
    this.prompt = prompt === null ? null : area("gold-prompt", prompt, true);
    this.candidates = candidates.map((text, i) => area(`gold-candidate-${i}`, text, false));
    this.answer = element("select", { id: "gold-answer" },
      ...candidates.map((_, i) => element("option", { value: i, selected: i === answer }, `Response ${i + 1}`)));
    this.all = [
      ...(this.prompt === null ? [] : [element("label", { for: "gold-prompt" }, "Prompt"), this.prompt]),
      ...this.candidates.flatMap((field, i) => [element("label", { for: field.id }, `Response ${i + 1}`), field]),
      element("label", { for: "gold-answer" }, "Which one is right?"),
      this.answer,
    ];
    // As the fields have it, which write line ends in their own way.
    this.before = this.said();
  }

  /** Return all of it. */
  said() {
    return { prompt: this.prompt?.value ?? "", candidates: this.candidates.map((field) => field.value), answer: Number(this.answer.value) };
  }

  /** Return the answer, and what else is not as it was. */
  changed() {
    const { prompt, candidates, answer } = this.said();
    return {
      answer,
      ...(this.prompt === null || prompt === this.before.prompt ? {} : { prompt }),
      ...(candidates.every((text, i) => text === this.before.candidates[i]) ? {} : { candidates }),
    };
  }
}

/**
 * @param {string} id
 * @param {string} text
 * @param {boolean} required
 */
function area(id, text, required) {
  const field = element("textarea", { id, rows: 2, required, maxlength: 16_000, dir: "auto" });
  field.value = text;
  return field;
}
