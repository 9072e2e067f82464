/** The dialogs of the labelling page: asking for a reason, and the list of keys. */

import { byId } from "../shared/dom.js";
import { keysAreOn, setKeys } from "./keyboard.js";

/**
 * Ask why; resolve with the reason, or with null if they thought better of it.
 * @param {{heading: string, text: string, label: string, confirm: string, isRequired: boolean,
 *   before?: string | null}} asked `before`: the reason given earlier, which may stay
 * @returns {Promise<string | null>}
 */
export function askReason({ heading, text, label, confirm, isRequired, before = null }) {
  const dialog = byId("reason-dialog");
  const field = byId("reason-field");
  byId("reason-heading").textContent = heading;
  byId("reason-text").textContent = text;
  byId("reason-label").textContent = label;
  byId("reason-confirm").textContent = confirm;
  field.required = isRequired;
  field.value = before ?? "";
  return new Promise((resolve) => {
    const form = dialog.querySelector("form");
    const listening = new AbortController();
    const { signal } = listening;
    /** @type {string | null} */
    let reason = null;
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      reason = field.value.trim();
      if (isRequired && reason === "") {
        event.preventDefault();
        reason = null;
        field.value = "";
        field.reportValidity();
      }
    }, { signal });
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    }, { signal });
    byId("reason-cancel").addEventListener("click", () => dialog.close(), { signal });
    dialog.addEventListener("close", () => {
      listening.abort();
      resolve(reason);
    }, { signal });
    dialog.showModal();
    field.focus();
  });
}

/** Show the keys. */
export function showHelp() {
  byId("keys-on").checked = keysAreOn();
  byId("help-dialog").showModal();
}

/** Let the switch in the help act. */
export function setUpHelp() {
  byId("keys-on").addEventListener("change", (/** @type {any} */ event) => setKeys(event.target.checked));
}
