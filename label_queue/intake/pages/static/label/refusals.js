/** Why something was not taken, in the page's language; what the API says of it is in English. */

import { Refused } from "../shared/api.js";
import { element } from "../shared/dom.js";
import { phrase, say } from "../shared/words.js";

/** @type {Record<number, string>} */
const WHY = {
  403: "why.forbidden",
  404: "why.unknown",
  409: "why.conflict",
  413: "why.too_large",
  421: "why.elsewhere",
  422: "why.wrong",
  429: "why.too_fast",
};

/**
 * Return a complaint as children of an element.
 * @param {string} name of its words, with a {why}
 * @param {Refused | import("../shared/api.js").Unreachable} error
 */
export function whyNot(name, error) {
  if (!(error instanceof Refused)) return phrase(name, { why: say("why.unreachable") });
  const why = say(WHY[error.status] ?? "why.other");
  const detail = element("bdi", { lang: "en" }, `(${error.message})`);
  return [element("span", {}, ...phrase(name, { why }), " ", detail)];
}
