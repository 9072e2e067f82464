/**
 * Where the words of a response lie, and which of them somebody points at. Where a word ends the
 * browser knows, also in scripts that put no space between words.
 */

/** What says something and is no word: emoji and flags. */
const PICTURE = /\p{Extended_Pictographic}|\p{Regional_Indicator}/u;

/** @typedef {{start: number, end: number}} Word UTF-16 offsets */

/**
 * Return where a text's words and pictures lie, up to an offset.
 * @param {string} text
 * @param {number} to
 * @param {string} language of the text; "" where it is not known
 * @returns {Word[]}
 */
export function wordsOf(text, to, language) {
  const segments = new Intl.Segmenter(language || undefined, { granularity: "word" }).segment(text.slice(0, to));
  const words = [];
  for (const { index, segment, isWordLike } of segments) {
    if (isWordLike || PICTURE.test(segment)) words.push({ start: index, end: index + segment.length });
  }
  return words;
}

/**
 * Return which word somebody points at, -1 where there is none.
 *
 * The browser tells between which two characters a point is nearest, and there, without a space, one
 * word ends and another begins; or there is neither, as between two marks of punctuation. So of the
 * words to both sides the one that is nearer on the page is meant.
 * @param {Word[]} words
 * @param {number} at offset between two characters
 * @param {(word: Word) => number} distance how far a word is from the point, on the page
 */
export function wordAt(words, at, distance) {
  const after = words.findIndex(({ end }) => end > at);
  if (after !== -1 && words[after].start < at) return after;
  const before = after === -1 ? words.length - 1 : after - 1;
  if (before === -1 || after === -1) return after === -1 ? before : after;
  return distance(words[after]) < distance(words[before]) ? after : before;
}

/**
 * Return how far a range is from a point of the page, in pixels; 0 within it.
 * @param {Range} range
 * @param {number} x
 * @param {number} y
 */
export function distanceOf(range, x, y) {
  const beside = (/** @type {number} */ at, /** @type {number} */ low, /** @type {number} */ high) =>
    Math.max(low - at, 0, at - high);
  const each = [...range.getClientRects()].map((box) =>
    Math.hypot(beside(x, box.left, box.right), beside(y, box.top, box.bottom)));
  return Math.min(...each);
}

/**
 * Return between which two characters of the page's text a point is nearest, or null.
 * @param {number} x
 * @param {number} y
 */
export function caretAt(x, y) {
  if (document.caretPositionFromPoint !== undefined) {
    const caret = document.caretPositionFromPoint(x, y);
    return caret === null ? null : { node: caret.offsetNode, offset: caret.offset };
  }
  const range = document.caretRangeFromPoint(x, y);
  return range === null ? null : { node: range.startContainer, offset: range.startOffset };
}
