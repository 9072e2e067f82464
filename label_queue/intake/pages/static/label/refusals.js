/** Why something was not taken, in the page's language; what the API says of it is in English. */

import { element } from "../shared/dom.js";
import { phrase, say } from "../shared/words.js";

/** @type {Record<number, string>} */
const WHY = {
  403: "why.forbidden",
  404: "why.unknown",
  408: "why.too_slow",
  409: "why.conflict",
  413: "why.too_large",
  421: "why.elsewhere",
  422: "why.wrong",
  429: "why.too_fast",
  500: "why.failed",
  502: "why.unreachable",
  503: "why.unavailable",
  504: "why.unreachable",
  507: "why.disk_full",
};

/**
 * Return a complaint as children of an element.
 * @param {string} name of its words, with a {why}
 * @param {{status: number, message: string}} error
 * @param {import("../shared/words.js").FilledIn} [filledIn] what else its words want
 */
export function whyNot(name, error, filledIn = {}) {
  if (error.status === 0) return phrase(name, { ...filledIn, why: say("why.unreachable") });
  const why = say(WHY[error.status] ?? "why.other");
  const detail = element("bdi", { lang: "en" }, `(${error.message})`);
  return [element("span", {}, ...phrase(name, { ...filledIn, why }), " ", detail)];
}
