/** Queries on which people differ, their responses side by side. Kept in place while unchanged. */

import { arrange, byId, element } from "../shared/dom.js";
import { InertText } from "../shared/inert_text.js";
import { PromptText, languageOf } from "../shared/prompt_text.js";

/** The list. */
export class Disagreements {
  /** @type {Map<string, {json: string, card: any}>} */
  #cards = new Map();

  /** @param {(disagreement: any, candidate: any, number: number) => void} onGold */
  constructor(onGold) {
    this.onGold = onGold;
  }

  /** @param {any[]} disagreements newest first */
  show(disagreements) {
    byId("no-disagreements").hidden = disagreements.length > 0;
    const cards = disagreements.map((disagreement) => this.#cardOf(disagreement));
    arrange(byId("disagreements"), cards, byId("disagreements-heading"));
    const present = new Set(disagreements.map((disagreement) => disagreement.query_id));
    for (const id of this.#cards.keys()) if (!present.has(id)) this.#cards.delete(id);
  }

  /** @param {any} disagreement */
  #cardOf(disagreement) {
    const json = JSON.stringify(disagreement);
    const known = this.#cards.get(disagreement.query_id);
    if (known?.json === json) return known.card;
    const card = this.#make(disagreement);
    this.#cards.set(disagreement.query_id, { json, card });
    return card;
  }

  /** @param {any} disagreement */
  #make(disagreement) {
    const prompt = element("div", { class: "disputed-prompt" });
    new PromptText(prompt, disagreement.prompt);
    const columns = disagreement.candidates.map((/** @type {any} */ candidate, /** @type {number} */ i) =>
      this.#column(disagreement, candidate, i + 1));
    const ties = votersOf(disagreement, null);
    return element("article", { class: "disputed" },
      prompt,
      element("div", { class: "columns" }, ...columns),
      ties.length === 0 ? null : element("p", { class: "voters" }, "Tie:", ...ties.map(voter)));
  }

  /**
   * @param {any} disagreement
   * @param {any} candidate
   * @param {number} number
   */
  #column(disagreement, candidate, number) {
    const text = element("div", { class: "disputed-text" });
    new InertText(text, candidate.text, languageOf(disagreement.prompt));
    const voters = votersOf(disagreement, candidate.candidate_id);
    const make = element("button", {
      type: "button",
      class: "small",
      "data-act": true,
      onclick: () => this.onGold(disagreement, candidate, number),
    }, "Make gold", element("span", { class: "visually-hidden" }, ` with response ${number} as the right answer`));
    const isGold = disagreement.purpose === "gold";
    return element("div", { class: voters.length > 0 ? "column voted" : "column" },
      element("h3", {}, `Response ${number}`),
      text,
      element("div", { class: "column-foot" },
        element("p", { class: "voters" }, ...(voters.length > 0 ? voters.map(voter) : ["nobody"])),
        isGold ? null : make));
  }
}

/**
 * @param {any} disagreement
 * @param {string | null} choice
 * @returns {string[]}
 */
function votersOf(disagreement, choice) {
  return disagreement.votes
    .filter((/** @type {any} */ vote) => vote.choice === choice)
    .map((/** @type {any} */ vote) => vote.labeler_id);
}

/** @param {string} name */
function voter(name) {
  return element("span", { class: "voter" }, name);
}
