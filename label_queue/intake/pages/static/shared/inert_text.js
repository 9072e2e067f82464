/**
 * A model's text, shown and nothing more: text nodes only, with what could deceive the eye made
 * visible. Bidirectional controls, zero-width and other invisible characters become labelled
 * chips; long text is folded until somebody asks for all of it.
 *
 * Offsets within this module are UTF-16 code units of the text as the server sent it.
 */

import { element, giveWay } from "./dom.js";
import { listed, say } from "./words.js";

/**
 * Control, bidirectional and zero-width characters, fillers, tags, and variation selectors other
 * than emoji's own; tab and line feed are left alone.
 */
const UNSEEN =
  // eslint-disable-next-line no-control-regex, no-misleading-character-class -- they are the point
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}\p{Cs}]+/gu;
const BEFORE_JOINER = /^(?:\p{Extended_Pictographic}|\p{Emoji_Modifier}|\ufe0f)$/u;
const AFTER_JOINER = /^\p{Extended_Pictographic}$/u;

const NAMES = new Map([
  [0x00ad, "unseen.soft_hyphen"],
  [0x061c, "unseen.arabic_letter_mark"],
  [0x200b, "unseen.zero_width_space"],
  [0x200c, "unseen.zero_width_non_joiner"],
  [0x200d, "unseen.zero_width_joiner"],
  [0x200e, "unseen.left_to_right_mark"],
  [0x200f, "unseen.right_to_left_mark"],
  [0x202a, "unseen.left_to_right_embedding"],
  [0x202b, "unseen.right_to_left_embedding"],
  [0x202c, "unseen.pop_directional_formatting"],
  [0x202d, "unseen.left_to_right_override"],
  [0x202e, "unseen.right_to_left_override"],
  [0x2060, "unseen.word_joiner"],
  [0x2066, "unseen.left_to_right_isolate"],
  [0x2067, "unseen.right_to_left_isolate"],
  [0x2068, "unseen.first_strong_isolate"],
  [0x2069, "unseen.pop_directional_isolate"],
  [0xfeff, "unseen.byte_order_mark"],
]);

/** A text longer than this is folded. */
export const FOLD_CHARS = 1_600;
const FOLD_LINES = 24;
const CHIPS_NAMED = 4;
const MAX_CHIPS = 400;

/**
 * @typedef {object} Piece
 * @property {number} start
 * @property {number} end
 * @property {Text} node
 * @property {boolean} isOpaque whether the node shows something else than these characters
 */

/**
 * Return a code point as "U+202E".
 * @param {number} point
 */
function notation(point) {
  return `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

/**
 * Return what a run of unseen characters is shown as: each different one, with its count.
 * @param {string} run
 */
export function escapeRun(run) {
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (const character of run) {
    const point = /** @type {number} */ (character.codePointAt(0));
    counts.set(point, (counts.get(point) ?? 0) + 1);
  }
  const shown = [...counts].slice(0, CHIPS_NAMED);
  const parts = shown.map(([point, count]) => notation(point) + (count > 1 ? ` ×${count}` : ""));
  if (counts.size > shown.length) parts.push(say("unseen.others", { count: counts.size - shown.length }));
  const names = shown.map(([point]) => say(NAMES.get(point) ?? "unseen.character"));
  return { shown: `⟨${parts.join(" ")}⟩`, names: listed([...new Set(names)]) };
}

/**
 * Return whether a run is the one joiner within an emoji, which is part of its picture.
 * @param {string} text
 * @param {number} start
 * @param {string} run
 */
function joinsEmoji(text, start, run) {
  if (run !== "\u200d") return false;
  const before = [...text.slice(Math.max(0, start - 2), start)].pop() ?? "";
  const [after = ""] = text.slice(start + 1, start + 3);
  return BEFORE_JOINER.test(before) && AFTER_JOINER.test(after);
}

/**
 * Return a text cut into what is shown as it is and what is escaped.
 * @param {string} text
 * @param {number} [from]
 * @param {number} [to]
 */
export function cut(text, from = 0, to = text.length) {
  /** @type {{start: number, end: number, isEscape: boolean}[]} */
  const parts = [];
  let at = from;
  UNSEEN.lastIndex = 0;
  for (const match of text.slice(from, to).matchAll(UNSEEN)) {
    const start = from + match.index;
    if (joinsEmoji(text, start, match[0])) continue;
    if (start > at) parts.push({ start: at, end: start, isEscape: false });
    at = start + match[0].length;
    parts.push({ start, end: at, isEscape: true });
  }
  if (at < to) parts.push({ start: at, end: to, isEscape: false });
  return parts;
}

/**
 * Return where to fold: the end of the text if it is short, never within a surrogate pair.
 * @param {string} text
 */
export function foldAt(text) {
  let end = Math.min(text.length, FOLD_CHARS);
  let line = -1;
  for (let i = 0; i < FOLD_LINES; i += 1) {
    line = text.indexOf("\n", line + 1);
    if (line === -1) break;
  }
  if (line !== -1) end = Math.min(end, line);
  if (text.length - end < FOLD_CHARS / 8 && line === -1) return text.length;
  const unit = text.charCodeAt(end - 1);
  return unit >= 0xd800 && unit < 0xdc00 ? end - 1 : end;
}

/** One text on the page. */
export class InertText {
  /** @type {Piece[]} */
  #pieces = [];
  #numChips = 0;
  #shownTo = 0;

  /**
   * @param {HTMLElement} place is emptied and filled
   * @param {string} text
   * @param {string} language of the text, whatever the page's is; "" where it is not known
   * @param {(() => void)} [onUnfold] called when all of it is shown
   */
  constructor(place, text, language, onUnfold = () => {}) {
    this.text = text;
    this.language = language;
    this.onUnfold = onUnfold;
    this.content = element("div", { class: "inert", dir: "auto", lang: language });
    this.button = null;
    place.replaceChildren(this.content);
    // The one space that a continuation begins with would only look like a mistake.
    if (/^ \S/.test(text)) this.#shownTo = 1;
    this.#show(foldAt(text));
    if (this.isFolded) {
      const count = [...text].length;
      this.button = element(
        "button",
        { type: "button", class: "fold small", onclick: () => this.showAll() },
        say("fold.characters", { count }),
        element("kbd", {}, "a"),
      );
      place.append(this.button);
    }
  }

  /** Whether some of it was not shown yet. */
  get isFolded() {
    return this.#shownTo < this.text.length;
  }

  /** How much of the text is on the page. */
  get shownTo() {
    return this.#shownTo;
  }

  /** Unfold. */
  showAll() {
    if (!this.isFolded) return;
    this.#show(this.text.length);
    if (this.button !== null) giveWay(this.button, this.content);
    this.onUnfold();
  }

  /** @param {number} to */
  #show(to) {
    const made = document.createDocumentFragment();
    for (const part of cut(this.text, this.#shownTo, to)) made.append(this.#make(part));
    this.content.append(made);
    this.#shownTo = to;
  }

  /** @param {{start: number, end: number, isEscape: boolean}} part */
  #make({ start, end, isEscape }) {
    const source = this.text.slice(start, end);
    if (!isEscape) {
      const node = document.createTextNode(source);
      this.#pieces.push({ start, end, node, isOpaque: false });
      return node;
    }
    const { shown, names } = escapeRun(source);
    const node = document.createTextNode(shown);
    this.#pieces.push({ start, end, node, isOpaque: true });
    this.#numChips += 1;
    // Past some hundreds a chip is text alone: so many elements would make the page slow.
    if (this.#numChips > MAX_CHIPS) return node;
    const chip = element("span", { class: "escape", title: names });
    chip.append(node);
    return chip;
  }

  /**
   * Return where a point of the page lies in the text, or null if it is not within it.
   * @param {Node} node
   * @param {number} offset
   * @returns {number | null}
   */
  offsetOf(node, offset) {
    if (node.nodeType !== Node.TEXT_NODE) {
      if (!this.content.contains(node)) return null;
      const range = document.createRange();
      range.setStart(this.content, 0);
      range.setEnd(node, offset);
      const before = this.#pieces.filter((piece) => range.comparePoint(piece.node, piece.node.length) <= 0);
      return before.length === 0 ? 0 : before[before.length - 1].end;
    }
    const piece = this.#pieces.find((candidate) => candidate.node === node);
    if (piece === undefined) return null;
    if (piece.isOpaque) return offset === 0 ? piece.start : piece.end;
    return piece.start + offset;
  }

  /**
   * Return the range on the page of these characters, or null if they are folded away.
   * @param {number} start
   * @param {number} end
   * @returns {Range | null}
   */
  rangeOf(start, end) {
    const first = this.#pieces.find((piece) => start < piece.end);
    const last = this.#pieces.find((piece) => end <= piece.end);
    if (first === undefined || last === undefined) return null;
    const range = document.createRange();
    range.setStart(first.node, first.isOpaque ? 0 : start - first.start);
    range.setEnd(last.node, last.isOpaque ? last.node.length : end - last.start);
    return range;
  }
}

/**
 * Return a UTF-16 offset as a count of characters, as Python counts them.
 * @param {string} text
 * @param {number} offset
 */
export function codePoints(text, offset) {
  return [...text.slice(0, offset)].length;
}

/**
 * Return a count of characters as a UTF-16 offset.
 * @param {string} text
 * @param {number} count
 */
export function utf16Offset(text, count) {
  let offset = 0;
  for (const character of text) {
    if (count <= 0) break;
    offset += character.length;
    count -= 1;
  }
  return offset;
}
