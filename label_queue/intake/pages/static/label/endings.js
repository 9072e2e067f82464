/** Why nothing more is to be done on the page. */

import { Over, isShutOut } from "../shared/api.js";

/**
 * @typedef {"ended" | "changed" | "over"} Ending the session ended; somebody in their role does nothing
 *   here; the run ended
 */

/**
 * Return the ending that a request which only reads was answered with; null where it is none.
 * @param {unknown} error
 * @returns {Ending | null}
 */
export function endingOf(error) {
  if (error instanceof Over) return "over";
  if (!isShutOut(error)) return null;
  return error.status === 403 ? "changed" : "ended";
}
