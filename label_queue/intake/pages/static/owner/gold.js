/** Gold: what judges labelers, how it is answered, and what more could be made of. */

import { send } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { InertText } from "../shared/inert_text.js";
import { PromptText, languageOf } from "../shared/prompt_text.js";
import { ago, count, counted } from "./format.js";
import { PagedList } from "./paged_list.js";

const LIMIT = 10;
const ORIGINS = { file: "of the run's file", past: "of a past query", written: "written" };

/**
 * @typedef {{onEdit: (gold: any) => void, onRetire: (gold: any) => void,
 *   onBringBack: (gold: any) => void, onMake: (agreement: any) => void}} Acts
 */

/** Both lists: the gold, and the queries on which people agree. */
export class GoldLists {
  #now = 0;
  /** How many gold queries are asked. */
  numAsked = 0;
  /** How many candidates gold must have. */
  numCandidates = 2;

  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
    this.gold = new PagedList({
      name: "gold",
      limit: LIMIT,
      load: async (offset, limit) => {
        const asked = byId("gold-shown").value;
        const page = await send("GET", `/owner/gold?offset=${offset}&limit=${limit}${asked === "" ? "" : `&asked=${asked}`}`);
        this.numAsked = page.num_asked;
        this.numCandidates = page.num_candidates;
        byId("gold-caption").textContent = `${counted(page.num_asked, "gold task")} asked now.`;
        return { items: page.gold, total: page.total };
      },
      idOf: (gold) => gold.gold_id,
      keyOf: (gold) => `${JSON.stringify(gold)} ${Math.floor(this.#now / 60)}`,
      make: (gold) => this.#goldCard(gold),
    });
    this.agreements = new PagedList({
      name: "agreements",
      limit: LIMIT,
      load: async (offset, limit) => {
        const page = await send("GET", `/owner/gold/agreements?offset=${offset}&limit=${limit}`);
        return { items: page.queries, total: page.total };
      },
      idOf: (agreement) => agreement.query_id,
      keyOf: (agreement) => JSON.stringify(agreement),
      make: (agreement) => this.#agreementCard(agreement),
    });
    byId("gold-shown").addEventListener("change", () => this.gold.restart());
  }

  /** @param {number} now on the server's clock */
  async refresh(now) {
    this.#now = now;
    await Promise.all([this.gold.refresh(), this.agreements.refresh()]);
  }

  /** Show both anew, after something was done. */
  async reload() {
    await Promise.all([this.gold.reload(), this.agreements.reload()]);
  }

  /** @param {any} gold */
  #goldCard(gold) {
    const number = gold.candidates.findIndex((/** @type {any} */ each) => each.candidate_id === gold.answer) + 1;
    const acts = gold.is_asked
      ? [act("Edit", () => this.acts.onEdit(gold)), act("Retire", () => this.acts.onRetire(gold))]
      : [act("Bring back", () => this.acts.onBringBack(gold))];
    return element("article", { class: "gold-card", "data-asked": String(gold.is_asked), "aria-label": `Gold, response ${number} is right` },
      promptOf(gold),
      columns(gold, gold.answer, "Right"),
      element("div", { class: "gold-foot" },
        element("div", { class: "gold-facts" },
          element("span", { class: "state", "data-state": gold.is_asked ? "active" : "excluded" }, gold.is_asked ? "Asked" : "Retired"),
          element("span", { class: "small" }, this.#answers(gold)),
          element("span", { class: "small" }, this.#history(gold))),
        element("div", { class: "acts" }, ...acts)));
  }

  /** @param {any} gold */
  #answers(gold) {
    const judged = gold.right + gold.wrong;
    const words = judged === 0 ? "no answer yet" : `${count(gold.right)} right and ${count(gold.wrong)} wrong`;
    return `shown ${counted(gold.num_shown, "time")}, ${words}`;
  }

  /** @param {any} gold */
  #history(gold) {
    const origins = /** @type {Record<string, string>} */ (ORIGINS);
    const made = `${origins[gold.origin]}${gold.made_by === null ? "" : ` by ${gold.made_by}`}, ${ago(gold.made_at, this.#now)}`;
    if (gold.is_asked) return gold.replaces === null ? made : `${made}, in the place of another version`;
    const by = gold.decided_by === null ? "" : ` by ${gold.decided_by}`;
    const place = gold.replaced_by === null ? "" : ", another version in its place";
    return `${made}; retired ${ago(gold.decided_at, this.#now)}${by}: “${gold.why ?? ""}”${place}`;
  }

  /** @param {any} agreement */
  #agreementCard(agreement) {
    return element("article", { class: "gold-card", "aria-label": `${counted(agreement.votes.length, "labeler")} agree` },
      promptOf(agreement),
      columns(agreement, agreement.choice, counted(agreement.votes.length, "labeler")),
      element("div", { class: "gold-foot" },
        element("p", { class: "small" }, `All chose the same: ${agreement.votes.map((/** @type {any} */ vote) => vote.labeler_id).join(", ")}`),
        element("div", { class: "acts" }, act("Make gold of it", () => this.acts.onMake(agreement)))));
  }
}

/**
 * @param {string} text
 * @param {() => void} onclick
 */
function act(text, onclick) {
  return element("button", { type: "button", class: "small", "data-act": true, onclick }, text);
}

/** @param {any} query */
function promptOf(query) {
  const prompt = element("div", { class: "disputed-prompt" });
  new PromptText(prompt, query.prompt);
  return prompt;
}

/**
 * Return the responses side by side, one of them marked.
 * @param {any} query
 * @param {string} marked a candidate_id
 * @param {string} mark
 */
function columns(query, marked, mark) {
  return element("div", { class: "columns" }, ...query.candidates.map((/** @type {any} */ candidate, /** @type {number} */ i) => {
    const text = element("div", { class: "disputed-text" });
    new InertText(text, candidate.text, languageOf(query.prompt));
    const isMarked = candidate.candidate_id === marked;
    return element("div", { class: isMarked ? "column voted" : "column" },
      element("h3", {}, `Response ${i + 1}`, isMarked ? element("span", { class: "voter" }, mark) : null),
      text);
  }));
}
