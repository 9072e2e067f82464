/**
 * Marking words good or bad: by selecting them, by keyboard, or, once marking has begun, by a tap on
 * a word. Only where the run's config offers it; marks of an answer that has some are shown in any
 * case. Marks are painted by the browser's
 * highlights, so the text's own nodes stay as they are, and listed below in words.
 *
 * By keyboard the arrows move a cursor. Plus and minus mark what is under it; for somebody who has
 * switched single keys off the two buttons do, which then go where the cursor goes and have the focus.
 */

import { arrange, byId, element, giveFocus } from "../shared/dom.js";
import { phrase, say } from "../shared/words.js";
import { keysAreOn } from "./keyboard.js";
import { caretAt, distanceOf, wordAt, wordsOf } from "./text_words.js";

const EXCERPT = 60;
/** Pixels at the screen's head and foot that other things stand before. */
const COVERED = 120;
const MARKED = { good: "marks.marked_good", bad: "marks.marked_bad" };

/** The marks of the task on the page. */
export class Marks {
  isOn = false;
  #isOffered = document.getElementById("mark") !== null;
  /** Whether the cursor is where somebody tapped, so that the two buttons stand beside it. */
  #isTapped = false;
  #card = 0;
  #anchor = 0;
  #focus = 0;
  /** @type {import("./text_words.js").Word[]} */
  #words = [];
  /** @type {WeakMap<import("./answer.js").Mark, {words: string, item: any}>} */
  #items = new WeakMap();

  /**
   * @param {() => import("./task_view.js").Card[]} cards
   * @param {() => import("./answer.js").Answer} answer
   * @param {(message: string) => void} announce
   */
  constructor(cards, answer, announce) {
    this.cards = cards;
    this.answer = answer;
    this.announce = announce;
    if (!this.#isOffered) return;
    byId("mark").addEventListener("click", () => this.toggle());
    document.addEventListener("selectionchange", () => this.#offer());
    // Before the card hears of it, which would be chosen.
    byId("candidates").addEventListener("click", (/** @type {MouseEvent} */ event) => this.#tap(event), true);
    for (const button of byId("mark-tools").querySelectorAll("button")) {
      // Before the click the selection would be gone.
      button.addEventListener("pointerdown", (/** @type {Event} */ event) => event.preventDefault());
      button.addEventListener("click", () => this.#press(button.dataset.mark));
    }
  }

  /** Begin or end marking. */
  toggle() {
    if (!this.#isOffered) return;
    this.#isTapped = false;
    this.isOn = !this.isOn;
    byId("mark").setAttribute("aria-pressed", String(this.isOn));
    if (this.isOn) this.#enter(0, say(keysAreOn() ? "marks.begun" : "marks.begun_by_buttons"));
    else this.paint();
    if (!this.isOn) this.announce(say("marks.ended"));
    this.#scrollToCursor();
    this.#offer();
    this.#handOver();
  }

  /** Forget everything: another task came. */
  reset() {
    this.isOn = this.#isTapped = false;
    if (this.#isOffered) {
      byId("mark").setAttribute("aria-pressed", "false");
      byId("mark-tools").hidden = true;
    }
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
    this.#words = wordsOf(text.text, text.shownTo, text.language);
    this.#anchor = this.#focus = 0;
    item.scrollIntoView({ block: "nearest" });
    this.#tell(`${preface} ${say("marks.in_response", { number })}`);
    this.paint();
  }

  /** @param {string} [preface] */
  #tell(preface = "") {
    const reach = this.#reach();
    const { text } = this.cards()[this.#card];
    this.announce(`${preface} ${reach === null ? say("marks.no_words") : text.text.slice(reach.start, reach.end)}`.trim());
  }

  #reach() {
    if (this.#words.length === 0) return null;
    const [first, last] = [Math.min(this.#anchor, this.#focus), Math.max(this.#anchor, this.#focus)];
    return { start: this.#words[first].start, end: this.#words[last].end };
  }

  /** Where the text runs from right to left, the next word is on the left. */
  #leftward() {
    const { content } = this.cards()[this.#card].text;
    return getComputedStyle(content).direction === "rtl" ? 1 : -1;
  }

  /**
   * Use a key while marking; return whether it was used.
   * @param {string} key
   * @param {boolean} isShifted
   */
  onKey(key, isShifted) {
    if (key === "ArrowLeft" || key === "ArrowRight") {
      const next = this.#focus + (key === "ArrowLeft" ? this.#leftward() : -this.#leftward());
      this.#focus = Math.max(0, Math.min(this.#words.length - 1, next));
      if (!isShifted) this.#anchor = this.#focus;
      this.#tell();
    } else if (key === "ArrowDown" || key === "ArrowUp") {
      this.#enter(this.#card + (key === "ArrowDown" ? 1 : -1));
    } else if (key === "+" || key === "=") {
      this.#mark("good");
    } else if (key === "-") {
      this.#mark("bad");
    } else if (key === "Delete" || key === "Backspace") {
      this.#mark(null);
    } else if (key === "Escape" || key === "m") {
      this.toggle();
    } else {
      return false; // to reach the buttons that a tap has brought, say
    }
    this.#isTapped = false;
    this.paint();
    this.#scrollToCursor();
    this.#offer();
    this.#handOver();
    return true;
  }

  /** Where single keys do not act, give the focus to the buttons, if they are there. */
  #handOver() {
    const tools = byId("mark-tools");
    if (keysAreOn() || tools.hidden || tools.contains(document.activeElement)) return;
    tools.querySelector("button").focus();
  }

  /** Keep what is under the cursor where it can be seen. */
  #scrollToCursor() {
    const box = this.#cursor()?.getBoundingClientRect();
    if (box === undefined || (box.top > COVERED && box.bottom < innerHeight - COVERED)) return;
    scrollBy(0, box.top - innerHeight / 2);
  }

  /**
   * Put the cursor on the word under a tap, and offer to mark it.
   * @param {MouseEvent} event
   */
  #tap(event) {
    if (!this.isOn || getSelection()?.isCollapsed === false) return;
    const target = /** @type {Node} */ (event.target);
    const index = this.cards().findIndex((card) => card.text.content.contains(target));
    if (index === -1) return;
    event.stopPropagation();
    event.preventDefault();
    const caret = caretAt(event.clientX, event.clientY);
    const at = caret && this.cards()[index].text.offsetOf(caret.node, caret.offset);
    if (at === null) return;
    const { text } = this.cards()[index];
    const words = wordsOf(text.text, text.shownTo, text.language);
    const word = wordAt(words, at, ({ start, end }) => {
      const range = text.rangeOf(start, end);
      return range === null ? Infinity : distanceOf(range, event.clientX, event.clientY);
    });
    if (word === -1) return;
    this.#card = index;
    this.#words = words;
    this.#anchor = this.#focus = word;
    this.#isTapped = true;
    this.#tell();
    this.paint();
    this.#offer();
  }

  /** @param {"good" | "bad"} mark */
  #press(mark) {
    if (this.markSelection(mark) || !this.#isByButtons) return;
    this.#isTapped = false;
    this.#mark(mark);
    this.#offer();
  }

  /** @param {"good" | "bad" | null} mark */
  #mark(mark) {
    const reach = this.#reach();
    if (reach === null) return;
    const { id } = this.cards()[this.#card];
    if (mark === null) this.answer().unmark(id, reach.start, reach.end);
    else this.answer().mark(id, reach.start, reach.end, mark);
    this.#tell(`${say(mark === null ? "marks.unmarked" : MARKED[mark])}:`);
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

  /** Whether the two buttons mark what is under the cursor. */
  get #isByButtons() {
    return this.isOn && (this.#isTapped || !keysAreOn());
  }

  /** Show the two buttons beside a selection, or beside the words that they would mark. */
  #offer() {
    const tools = byId("mark-tools");
    const range = this.#selected()?.range ?? (this.#isByButtons ? this.#cursor() : null);
    const hadFocus = tools.contains(document.activeElement);
    tools.hidden = range === null;
    if (range === null) {
      if (hadFocus) byId("mark").focus();
      return;
    }
    const box = range.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    tools.style.left = `${Math.max(8, Math.min(width - 180, box.left))}px`;
    tools.style.top = `${Math.max(8, box.top - 48)}px`;
  }

  /**
   * Mark what is selected with the mouse; return whether anything was.
   * @param {"good" | "bad"} mark
   */
  markSelection(mark) {
    if (!this.#isOffered) return false;
    const selected = this.#selected();
    if (selected === null) return false;
    this.answer().mark(selected.id, selected.start, selected.end, mark);
    getSelection()?.removeAllRanges();
    this.announce(say(MARKED[mark]));
    this.paint();
    return true;
  }

  /** The range on the page of the words under the cursor, or null. */
  #cursor() {
    const reach = this.isOn ? this.#reach() : null;
    return reach && (this.cards()[this.#card]?.text.rangeOf(reach.start, reach.end) ?? null);
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
      arrange(card.marks, own.map((mark) => this.#listed(card, mark)), card.button);
      card.marks.hidden = own.length === 0;
    }
    const cursor = this.#cursor();
    if (cursor !== null) ranges.cursor.push(cursor);
    if (!("highlights" in CSS)) return;
    for (const [name, found] of Object.entries(ranges)) {
      CSS.highlights.set(`mark-${name}`, new Highlight(...found));
    }
  }

  /**
   * Return the line of a mark; the same one as long as it says the same, so that it keeps the focus.
   * @param {import("./task_view.js").Card} card
   * @param {import("./answer.js").Mark} mark
   */
  #listed(card, mark) {
    const range = card.text.rangeOf(mark.start, mark.end);
    const words = range === null ? "" : range.toString();
    const known = this.#items.get(mark);
    if (known?.words === words) return known.item;
    const item = this.#line(card, mark, words.length > EXCERPT ? `${words.slice(0, EXCERPT)}…` : words);
    this.#items.set(mark, { words, item });
    return item;
  }

  /**
   * @param {import("./task_view.js").Card} card
   * @param {import("./answer.js").Mark} mark
   * @param {string} excerpt
   */
  #line(card, { id, start, end, mark }, excerpt) {
    const remove = element("button", {
      type: "button",
      class: "quiet small",
      onclick: (/** @type {any} */ event) => {
        this.answer().unmark(id, start, end);
        this.announce(`${say("marks.unmarked")}: ${excerpt}`);
        // Enter after a pointer's click confirms the answer: it must not remove the next mark.
        if (event.detail > 0) giveFocus(card.text.content);
        this.paint();
      },
    }, say("marks.remove"), " ", element("span", { class: "visually-hidden" }, ...phrase("marks.remove_which", { words: element("bdi", {}, excerpt) })));
    const kind = element("span", { class: `mark-kind ${mark}` }, say(mark === "good" ? "marks.good" : "marks.bad"));
    return element("li", {}, kind, element("bdi", {}, excerpt), remove);
  }
}
