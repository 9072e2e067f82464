/**
 * Marking words good or bad, by selecting them or by keyboard. Marks are painted by the browser's
 * highlights, so the text's own nodes stay as they are, and listed below in words.
 */

import { byId, element } from "../shared/dom.js";

const EXCERPT = 60;

/**
 * Return where a text's words lie, up to an offset.
 * @param {string} text
 * @param {number} to
 */
export function wordsOf(text, to) {
  const segments = new Intl.Segmenter(undefined, { granularity: "word" }).segment(text.slice(0, to));
  const words = [];
  for (const { index, segment, isWordLike } of segments) {
    if (isWordLike) words.push({ start: index, end: index + segment.length });
  }
  return words;
}

/** The marks of the task on the page. */
export class Marks {
  isOn = false;
  #card = 0;
  #anchor = 0;
  #focus = 0;
  /** @type {{start: number, end: number}[]} */
  #words = [];

  /**
   * @param {() => import("./task_view.js").Card[]} cards
   * @param {() => import("./answer.js").Answer} answer
   * @param {(message: string) => void} announce
   */
  constructor(cards, answer, announce) {
    this.cards = cards;
    this.answer = answer;
    this.announce = announce;
    document.addEventListener("selectionchange", () => this.#offer());
    for (const button of byId("mark-tools").querySelectorAll("button")) {
      // Before the click the selection would be gone.
      button.addEventListener("pointerdown", (/** @type {Event} */ event) => event.preventDefault());
      button.addEventListener("click", () => this.markSelection(button.dataset.mark));
    }
  }

  /** Begin or end marking by keyboard. */
  toggle() {
    this.isOn = !this.isOn;
    byId("mark").setAttribute("aria-pressed", String(this.isOn));
    if (this.isOn) this.#enter(0, "Marking words. Arrow keys move, plus is good, minus is bad, Escape ends.");
    else this.paint();
    if (!this.isOn) this.announce("Marking ended.");
  }

  /** Forget everything: another task came. */
  reset() {
    this.isOn = false;
    byId("mark").setAttribute("aria-pressed", "false");
    byId("mark-tools").hidden = true;
    this.paint();
  }

  /**
   * @param {number} index
   * @param {string} [preface]
   */
  #enter(index, preface = "") {
    const cards = this.cards();
    this.#card = (index + cards.length) % cards.length;
    const { text, number, item } = cards[this.#card];
    this.#words = wordsOf(text.text, text.shownTo);
    this.#anchor = this.#focus = 0;
    item.scrollIntoView({ block: "nearest" });
    this.#tell(`${preface} Response ${number}:`);
    this.paint();
  }

  /** @param {string} [preface] */
  #tell(preface = "") {
    const reach = this.#reach();
    const { text } = this.cards()[this.#card];
    this.announce(`${preface} ${reach === null ? "no words" : text.text.slice(reach.start, reach.end)}`.trim());
  }

  #reach() {
    if (this.#words.length === 0) return null;
    const [first, last] = [Math.min(this.#anchor, this.#focus), Math.max(this.#anchor, this.#focus)];
    return { start: this.#words[first].start, end: this.#words[last].end };
  }

  /**
   * Use a key while marking; return whether it was used.
   * @param {KeyboardEvent} event
   */
  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key in steps) {
      const next = this.#focus + steps[/** @type {"ArrowLeft"} */ (event.key)];
      this.#focus = Math.max(0, Math.min(this.#words.length - 1, next));
      if (!event.shiftKey) this.#anchor = this.#focus;
      this.#tell();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.#enter(this.#card + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "+" || event.key === "=") {
      this.#mark("good");
    } else if (event.key === "-") {
      this.#mark("bad");
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.#mark(null);
    } else if (event.key === "Escape" || event.key === "m") {
      this.toggle();
    } else {
      return false;
    }
    this.paint();
    return true;
  }

  /** @param {"good" | "bad" | null} mark */
  #mark(mark) {
    const reach = this.#reach();
    if (reach === null) return;
    const { id } = this.cards()[this.#card];
    if (mark === null) this.answer().unmark(id, reach.start, reach.end);
    else this.answer().mark(id, reach.start, reach.end, mark);
    this.#tell(mark === null ? "Unmarked:" : `Marked ${mark}:`);
    this.paint();
  }

  #selected() {
    const selection = getSelection();
    if (selection === null || selection.isCollapsed || selection.rangeCount === 0) return null;
    const range = selection.getRangeAt(0);
    for (const card of this.cards()) {
      if (!card.text.content.contains(range.commonAncestorContainer)) continue;
      const start = card.text.offsetOf(range.startContainer, range.startOffset);
      const end = card.text.offsetOf(range.endContainer, range.endOffset);
      if (start !== null && end !== null && start < end) return { id: card.id, start, end, range };
    }
    return null;
  }

  /** Show the two buttons beside a selection. */
  #offer() {
    const tools = byId("mark-tools");
    const selected = this.#selected();
    tools.hidden = selected === null;
    if (selected === null) return;
    const box = selected.range.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    tools.style.left = `${Math.max(8, Math.min(width - 180, box.left))}px`;
    tools.style.top = `${Math.max(8, box.top - 48)}px`;
  }

  /**
   * Mark what is selected with the mouse; return whether anything was.
   * @param {"good" | "bad"} mark
   */
  markSelection(mark) {
    const selected = this.#selected();
    if (selected === null) return false;
    this.answer().mark(selected.id, selected.start, selected.end, mark);
    getSelection()?.removeAllRanges();
    this.announce(`Marked ${mark}.`);
    this.paint();
    return true;
  }

  /** Draw marks and cursor, and list the marks. */
  paint() {
    /** @type {Record<string, Range[]>} */
    const ranges = { good: [], bad: [], cursor: [] };
    const marks = this.answer().marks;
    for (const card of this.cards()) {
      const own = marks.filter((mark) => mark.id === card.id).sort((a, b) => a.start - b.start);
      for (const { start, end, mark } of own) {
        const range = card.text.rangeOf(start, end);
        if (range !== null) ranges[mark].push(range);
      }
      card.marks.hidden = own.length === 0;
      card.marks.replaceChildren(...own.map((mark) => this.#listed(card, mark)));
    }
    const reach = this.isOn ? this.#reach() : null;
    const cursor = reach && this.cards()[this.#card]?.text.rangeOf(reach.start, reach.end);
    if (cursor) ranges.cursor.push(cursor);
    if (!("highlights" in CSS)) return;
    for (const [name, found] of Object.entries(ranges)) {
      CSS.highlights.set(`mark-${name}`, new Highlight(...found));
    }
  }

  /**
   * @param {import("./task_view.js").Card} card
   * @param {import("./answer.js").Mark} mark
   */
  #listed(card, { id, start, end, mark }) {
    const range = card.text.rangeOf(start, end);
    const words = range === null ? "" : range.toString();
    const excerpt = words.length > EXCERPT ? `${words.slice(0, EXCERPT)}…` : words;
    const remove = element("button", {
      type: "button",
      class: "quiet small",
      onclick: () => {
        this.answer().unmark(id, start, end);
        this.paint();
      },
    }, "Remove", element("span", { class: "visually-hidden" }, ` the mark on ${excerpt}`));
    const kind = element("span", { class: `mark-kind ${mark}` }, mark === "good" ? "Good" : "Bad");
    return element("li", {}, kind, element("bdi", {}, excerpt), remove);
  }
}
