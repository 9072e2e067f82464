/** The cord: one lamp for the whole line. */

import { byId } from "../shared/dom.js";
import { ago } from "./format.js";

/**
 * @param {any} cord CordBody
 * @param {number} now
 * @param {boolean} isClosed
 * @param {string} activity What the run is doing now, e.g. "waiting for people".
 * @param {string} trouble What must be done for it to go on; "" where it does.
 */
export function showCord(cord, now, isClosed, activity, trouble) {
  byId("cord").dataset.state = cord.is_pulled ? "stopped" : "running";
  const heading = cord.is_pulled
    ? `The line is stopped by ${cord.pulled_by}`
    : isClosed ? "The run wants no more labels"
      : trouble === "" ? "The line is running" : "The line waits for room on its disk";
  write(byId("cord-heading"), heading);
  const said = cord.is_pulled ? whyStopped(cord, now) : trouble === "" ? sentence(activity) : "";
  write(byId("cord-text"), [said, warning(trouble)].filter((part) => part !== "").join(" "));
  byId("pull").hidden = cord.is_pulled;
  byId("release").hidden = !cord.is_pulled;
  byId("release").disabled = cord.rollback_to !== null;
  byId("rollback").hidden = !cord.is_pulled || cord.rollback_to !== null;
  byId("rollback").textContent =
    cord.offered_rollback === null ? "Roll back …" : `Roll back to policy v${cord.offered_rollback} …`;
}

/** @param {string} words */
function sentence(words) {
  return words === "" ? "" : `Now ${words}.`;
}

/** @param {string} trouble */
function warning(trouble) {
  return trouble === "" ? "" : `${trouble[0]?.toUpperCase()}${trouble.slice(1)}.`;
}

/**
 * @param {any} cord
 * @param {number} now
 */
function whyStopped(cord, now) {
  const parts = [`“${cord.reason}”, ${ago(cord.pulled_at, now)}.`];
  if (cord.rollback_to !== null) parts.push(`Going back to policy v${cord.rollback_to} …`);
  else parts.push("The learner waits; rollouts and labels go on and are kept.");
  return parts.join(" ");
}

/**
 * Write a text only where it changes, so that it is read out once.
 * @param {HTMLElement} place
 * @param {string} text
 */
export function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
