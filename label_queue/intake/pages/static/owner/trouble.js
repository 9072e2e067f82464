/** Why something did not come about, in the server's words where there are any. */

import { Refused, Unreachable } from "../shared/api.js";

/**
 * Return what an error says to the owner; throw one that is nobody's answer.
 * @param {unknown} error
 */
export function whyNot(error) {
  if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
  return error.status === 0 ? "The server does not answer; try again." : error.message;
}
