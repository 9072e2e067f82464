/** Single keys as commands. They can be switched off, as WCAG 2.1.4 asks. */

import { read, write } from "./storage.js";

const SETTING = "andon-keys";
/** What was chosen where the browser does not keep it. @type {boolean | null} */
let chosen = null;

/** Whether single keys act. */
export function keysAreOn() {
  return chosen ?? read("browser", SETTING) !== "off";
}

/** @param {boolean} isOn */
export function setKeys(isOn) {
  chosen = write("browser", SETTING, isOn ? "on" : "off") ? null : isOn;
}

/**
 * Return the key that was pressed, as a Latin keyboard has it: commands stay where they are whatever
 * script somebody types.
 * @param {KeyboardEvent} event
 */
function keyPressed({ key, code, shiftKey }) {
  if (key.length !== 1 || key <= "~") return key;
  if (key === "؟") return "?";
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  if (letter !== undefined) return shiftKey ? letter : letter.toLowerCase();
  return shiftKey ? key : /^(?:Digit|Numpad)([0-9])$/.exec(code)?.[1] ?? key;
}

/**
 * Return which candidate a key chooses, from 0, or null: 1 to 9, then Shift A and on.
 * @param {string} key
 * @param {boolean} isShifted
 */
export function candidateOf(key, isShifted) {
  if (/^[1-9]$/.test(key)) return Number(key) - 1;
  if (isShifted && /^[A-Z]$/.test(key)) return key.charCodeAt(0) - 65 + 9;
  return null;
}

/**
 * Return how a candidate's key is shown.
 * @param {number} index from 0
 */
export function keyOf(index) {
  return index < 9 ? String(index + 1) : `⇧${String.fromCharCode(65 + index - 9)}`;
}

/**
 * Whether the key belongs to what has the focus.
 * @param {KeyboardEvent} event
 */
function isTaken(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.matches("textarea, select, input:not([type=radio])")) return true;
  if (event.key !== "Enter" && event.key !== " ") return false;
  // Enter on the response already chosen confirms it: nothing else is left to do there.
  return target.matches("a, button, summary") && !(event.key === "Enter" && target.matches("[data-choose][aria-pressed=true]"));
}

/**
 * Hand keys to commands. `onKey` returns whether it used the key.
 * @param {(key: string, event: KeyboardEvent) => boolean} onKey
 */
export function listen(onKey) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]") !== null || isTaken(event)) return;
    if (!keysAreOn() && event.key.length === 1) return;
    if (onKey(keyPressed(event), event)) event.preventDefault();
  });
}
