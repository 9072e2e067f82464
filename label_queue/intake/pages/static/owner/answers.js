/** One labeler's answers, newest first, beside what others said of the same. */

import { send } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { InertText } from "../shared/inert_text.js";
import { PromptText, languageOf } from "../shared/prompt_text.js";
import { ago, count } from "./format.js";
import { PagedList } from "./paged_list.js";

const LIMIT = 10;
const OUTCOMES = { choice: "", ranking: "", tie: "Said that they are equal.", both_bad: "Said that all are bad.", skip: "Skipped it.", flag: "Reported it." };

/** The dialog. */
export class Answers {
  #labelerId = "";
  #now = 0;

  constructor() {
    this.list = new PagedList({
      name: "answers",
      limit: LIMIT,
      load: async (offset, limit) => {
        const only = byId("answers-disputed").checked;
        const page = await send("GET",
          `/owner/labelers/${encodeURIComponent(this.#labelerId)}/answers?offset=${offset}&limit=${limit}&disputed=${only}`);
        return { items: page.answers, total: page.total };
      },
      idOf: (answer) => answer.label_id,
      keyOf: (answer) => JSON.stringify(answer),
      make: (answer) => this.#card(answer),
    });
    byId("answers-disputed").addEventListener("change", () => this.list.restart());
    byId("answers-close").addEventListener("click", () => byId("answers-dialog").close());
  }

  /**
   * @param {any} labeler
   * @param {number} now on the server's clock
   */
  async open(labeler, now) {
    this.#labelerId = labeler.labeler_id;
    this.#now = now;
    byId("answers-heading").textContent = `Answers of ${labeler.labeler_id}`;
    byId("answers").replaceChildren();
    byId("answers-dialog").showModal();
    await this.list.restart();
  }

  /** @param {any} answer */
  #card(answer) {
    const prompt = element("div", { class: "disputed-prompt" });
    new PromptText(prompt, answer.prompt);
    return element("article", { class: "gold-card", "aria-label": `Label ${count(answer.seq)}` },
      prompt,
      element("div", { class: "columns" }, ...answer.candidates.map((/** @type {any} */ candidate, /** @type {number} */ i) =>
        this.#column(answer, candidate, i + 1))),
      element("p", { class: "small" }, this.#said(answer)));
  }

  /**
   * @param {any} answer
   * @param {any} candidate
   * @param {number} number
   */
  #column(answer, candidate, number) {
    const text = element("div", { class: "disputed-text" });
    new InertText(text, candidate.text, languageOf(answer.prompt));
    const isTheirs = answer.choice === candidate.candidate_id;
    const others = answer.others
      .filter((/** @type {any} */ vote) => vote.choice === candidate.candidate_id)
      .map((/** @type {any} */ vote) => element("span", { class: "voter" }, vote.labeler_id));
    return element("div", { class: isTheirs ? "column voted" : "column" },
      element("h3", {}, `Response ${number}`, isTheirs ? element("span", { class: "voter" }, "theirs") : null),
      text,
      others.length === 0 ? null : element("p", { class: "voters" }, "also chosen by", ...others));
  }

  /** @param {any} answer */
  #said(answer) {
    const outcomes = /** @type {Record<string, string>} */ (OUTCOMES);
    const words = answer.outcome === null ? "Taken back." : outcomes[answer.outcome];
    const gold = answer.is_right === null ? "" : answer.is_right ? "Gold, answered rightly." : "Gold, answered wrongly.";
    const ties = answer.others.filter((/** @type {any} */ vote) => vote.choice === null).map((/** @type {any} */ vote) => vote.labeler_id);
    const equal = ties.length === 0 ? "" : `Equal for ${ties.join(", ")}.`;
    const changed = answer.changed_after === null ? "" : `Changed after reward v${answer.changed_after} was fitted to what they had said.`;
    const place = `Label ${count(answer.seq)}, ${ago(answer.given_at, this.#now)}.`;
    return [words, gold, equal, changed, place].filter((part) => part !== "").join(" ");
  }
}
