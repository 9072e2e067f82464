/** A task as it is seen: the prompt, the responses in the order given, and what was chosen. */

import { byId, element, keycap } from "../shared/dom.js";
import { InertText } from "../shared/inert_text.js";
import { PromptText, languageOf } from "../shared/prompt_text.js";
import { say } from "../shared/words.js";
import { keyOf } from "./keyboard.js";

const QUESTIONS = {
  pair: "question.pair",
  best_of_k: "question.best_of_k",
  ranking: "question.ranking",
};

/**
 * @typedef {{id: string, number: number, item: any, button: any, verb: any, marks: any,
 *   text: InertText}} Card
 */

/** Draws one task after another. */
export class TaskView {
  /** @type {Card[]} */
  cards = [];
  /** @type {PromptText | null} */
  prompt = null;

  /**
   * @param {(id: string) => void} onChoose
   * @param {() => void} onUnfold
   */
  constructor(onChoose, onUnfold) {
    this.onChoose = onChoose;
    this.onUnfold = onUnfold;
  }

  /** @param {import("./answer.js").Task} task */
  show(task) {
    byId("question").textContent = say(QUESTIONS[task.kind]);
    this.prompt = new PromptText(byId("prompt"), task.prompt, "h3", this.onUnfold);
    const list = byId("candidates");
    list.dataset.count = task.candidates.length;
    this.cards = task.candidates.map((candidate, index) => this.#card(candidate, index, task));
    list.replaceChildren(...this.cards.map((card) => card.item));
    const isPair = task.candidates.length === 2;
    byId("both-bad").firstElementChild.textContent = say(isPair ? "answer.both_bad" : "answer.all_bad");
    byId("strength").hidden = task.kind === "ranking";
    window.scrollTo(0, 0);
    byId("question").focus({ preventScroll: true });
  }

  /**
   * @param {import("./answer.js").Candidate} candidate
   * @param {number} index
   * @param {import("./answer.js").Task} task
   * @returns {Card}
   */
  #card(candidate, index, { kind, prompt }) {
    const id = candidate.candidate_id;
    const number = index + 1;
    const verb = element("span", {}, say(kind === "ranking" ? "card.next_best" : "card.choose"));
    const button = element(
      "button",
      {
        type: "button",
        class: "choose",
        "data-choose": true,
        "aria-pressed": "false",
        "aria-describedby": `text-${number}`,
        onclick: () => this.onChoose(id),
      },
      keycap(keyOf(index)),
      verb,
      " ",
      element("span", { class: "visually-hidden" }, say("card.which", { number })),
    );
    const place = element("div", { id: `text-${number}`, class: "response" });
    const marks = element("ul", { class: "marks", "aria-label": say("marks.list", { number }), hidden: true });
    const heading = element("h2", { id: `response-${number}` }, say("card.heading", { number }));
    const article = element(
      "article",
      { "aria-labelledby": `response-${number}` },
      element("header", {}, heading, button),
      place,
      marks,
    );
    const item = element("li", { class: "candidate" }, article);
    item.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const isSelecting = getSelection()?.isCollapsed === false;
      if (!isSelecting && !(/** @type {Element} */ (event.target).closest("button"))) this.onChoose(id);
    });
    const text = new InertText(place, candidate.text, languageOf(prompt), this.onUnfold);
    if (candidate.text === "") place.append(element("p", { class: "small" }, say("card.empty")));
    return { id, number, item, button, verb, marks, text };
  }

  /** The texts of which not all was shown yet, by name. */
  get folded() {
    const names = this.cards.filter((card) => card.text.isFolded).map(({ number }) => say("card.which", { number }));
    return this.prompt?.isFolded ? [say("prompt.which"), ...names] : names;
  }

  /** Show all of every text. */
  unfold() {
    this.prompt?.showAll();
    for (const card of this.cards) card.text.showAll();
  }

  /** @param {import("./answer.js").Answer} answer */
  update(answer) {
    const isRanking = answer.task.kind === "ranking";
    for (const card of this.cards) {
      const place = answer.ranking.indexOf(card.id);
      const isChosen = isRanking ? place !== -1 : answer.choice === card.id;
      card.item.classList.toggle("chosen", isChosen);
      card.button.setAttribute("aria-pressed", String(isChosen));
      if (isRanking) card.verb.textContent = isChosen ? say("card.place", { number: place + 1 }) : say("card.next_best");
      else card.verb.textContent = say(isChosen ? "card.chosen" : "card.choose");
    }
    byId("tie").setAttribute("aria-pressed", String(answer.outcome === "tie"));
    byId("both-bad").setAttribute("aria-pressed", String(answer.outcome === "both_bad"));
    byId("strength").disabled = answer.outcome !== "choice";
    for (const radio of document.querySelectorAll("input[name=strength]")) {
      /** @type {HTMLInputElement} */ (radio).checked = Number(/** @type {any} */ (radio).value) === answer.strength;
    }
  }
}
