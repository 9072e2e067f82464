/** The cord: one lamp for the whole line. */

import { arrange, byId, element } from "../shared/dom.js";
import { ago } from "./format.js";

/** The list items of the reasons that are open, by all that they say. @type {Map<string, any>} */
let shownReasons = new Map();

/**
 * @param {any} cord CordBody
 * @param {number} now
 * @param {boolean} isClosed
 * @param {string} activity What the run is doing now, e.g. "waiting for labels".
 * @param {string} trouble What must be done for it to go on; "" where it does.
 * @param {(reason: any) => void} onRelease Asked to take one reason away.
 */
export function showCord(cord, now, isClosed, activity, trouble, onRelease) {
  byId("cord").dataset.state = cord.is_pulled ? "stopped" : "running";
  const heading = cord.is_pulled
    ? `The line is stopped by ${cord.pulled_by}`
    : isClosed ? "The run wants no more labels"
      : trouble === "" ? "The line is running" : "The line waits for room on its disk";
  write(byId("cord-heading"), heading);
  const said = cord.is_pulled ? whyStopped(cord, now) : trouble === "" ? sentence(activity) : "";
  write(byId("cord-text"), [said, warning(trouble)].filter((part) => part !== "").join(" "));
  const several = cord.reasons.length > 1;
  showReasons(several || cord.reasons.some((/** @type {any} */ each) => each.evidence !== "") ? cord : { reasons: [] }, onRelease);
  byId("pull").hidden = cord.is_pulled;
  byId("release").hidden = !cord.is_pulled || several;
  byId("release").disabled = cord.rollback_to !== null;
  byId("rollback").hidden = !cord.is_pulled || cord.rollback_to !== null;
  byId("rollback").textContent =
    cord.offered_rollback === null ? "Roll back …" : `Roll back to policy v${cord.offered_rollback} …`;
}

/**
 * List the reasons that are open, each with what its guard saw and a button of its own.
 * @param {any} cord
 * @param {(reason: any) => void} onRelease
 */
function showReasons(cord, onRelease) {
  const several = cord.reasons.length > 1;
  // Each is made anew only when it changes, so that no button is taken from under pointer or focus.
  shownReasons = new Map(cord.reasons.map((/** @type {any} */ each) => {
    const key = JSON.stringify([each, several, cord.rollback_to]);
    return [key, shownReasons.get(key) ?? reasonItem(each, several, cord.rollback_to !== null, onRelease)];
  }));
  arrange(byId("cord-reasons"), [...shownReasons.values()], byId("cord-heading"));
  byId("cord-reasons").hidden = cord.reasons.length === 0;
}

/**
 * @param {any} reason
 * @param {boolean} isOneOfSeveral so that it is released by itself
 * @param {boolean} isRollingBack
 * @param {(reason: any) => void} onRelease
 */
function reasonItem(reason, isOneOfSeveral, isRollingBack, onRelease) {
  const who = reason.guard === "" ? reason.actor : `guard ${reason.guard}`;
  const words = element("span", {}, element("strong", {}, who), `: “${reason.reason}”`);
  if (reason.evidence !== "") words.append(" What it saw is kept in ", element("code", {}, reason.evidence), ".");
  const item = element("li", {}, words);
  if (isOneOfSeveral) {
    const button = element("button", { type: "button", "data-act": true, "aria-label": `Release the reason of ${who}` }, "Release");
    button.disabled = isRollingBack;
    button.addEventListener("click", () => onRelease(reason));
    item.append(" ", button);
  }
  return item;
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
