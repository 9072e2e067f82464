/**
 * The page's words, in the language that the page is in. Which plural form is right, and how numbers,
 * times and lists are written there, the browser knows.
 */

import { ROOT } from "./api.js";

const LANGUAGE = document.documentElement.lang;
/** With the digits that are on the keys, since a key's digit chooses the response of that number. */
const LOCALE = new Intl.Locale(LANGUAGE, { numberingSystem: "latn" });
const HOLE = /\{(\w+)\}/;
const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** @typedef {Record<string, string | number | Node>} FilledIn */

/** @type {Record<string, string | Record<string, string>>} */
const WORDS = await (await fetch(`${ROOT}/static/languages/${LANGUAGE}.json`)).json();
const plurals = new Intl.PluralRules(LOCALE);
const numbers = new Intl.NumberFormat(LOCALE);
const times = new Intl.RelativeTimeFormat(LOCALE);
const lists = new Intl.ListFormat(LOCALE);

/**
 * Return the words of this name, cut at what is to be filled in: text at even places, names at odd.
 * @param {string} name
 * @param {FilledIn} filledIn `count` chooses the plural form
 */
function pieces(name, filledIn) {
  const words = WORDS[name];
  if (words === undefined) throw new Error(`the page has no words ${name}`);
  const form = typeof words === "string" ? words : words[plurals.select(Number(filledIn.count))];
  return /** @type {string} */ (form).split(HOLE);
}

/**
 * Return words as text.
 * @param {string} name
 * @param {FilledIn} [filledIn]
 */
export function say(name, filledIn = {}) {
  return phrase(name, filledIn).join("");
}

/**
 * Return words as children of an element: so what is filled in may be an element too.
 * @param {string} name
 * @param {FilledIn} [filledIn]
 * @returns {(string | Node)[]}
 */
export function phrase(name, filledIn = {}) {
  return pieces(name, filledIn).map((piece, at) => {
    if (at % 2 === 0) return piece;
    const value = filledIn[piece];
    if (value === undefined) throw new Error(`${name} wants a ${piece}`);
    return typeof value === "number" ? numbers.format(value) : value;
  });
}

/**
 * Return several things as one enumeration.
 * @param {string[]} each
 */
export function listed(each) {
  return lists.format(each);
}

/**
 * Return a moment to come, e.g. "in 20 seconds".
 * @param {number} seconds from now
 */
export function fromNow(seconds) {
  return times.format(seconds, "second");
}

/**
 * Return a time in the largest unit it has two of, e.g. "7 days". What is left over is cut off, so
 * that no more is promised than holds.
 * @param {number} seconds
 */
export function lasting(seconds) {
  const [unit, size] = UNITS.find(([, each]) => seconds >= 2 * Number(each)) ?? ["second", 1];
  const format = new Intl.NumberFormat(LOCALE, { style: "unit", unit: String(unit), unitDisplay: "long" });
  return format.format(Math.floor(seconds / Number(size)));
}
