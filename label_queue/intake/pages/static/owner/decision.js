/** One dialog for all that the owner decides: what it is, what it would change, and why. */

import { Refused, Unreachable } from "../shared/api.js";
import { byId } from "../shared/dom.js";

/**
 * @typedef {object} Decision
 * @property {string} heading
 * @property {string} text
 * @property {string} confirm what its button says
 * @property {boolean} [isDangerous]
 * @property {boolean} [needsReason] true unless said otherwise
 * @property {HTMLElement[]} [fields]
 * @property {() => Promise<HTMLElement>} [preview] shown before it can be confirmed
 * @property {(reason: string) => Promise<void>} act
 */

/**
 * Show a decision; it closes once it was carried out or thought better of.
 * @param {Decision} decision
 */
export function decide({ heading, text, confirm, isDangerous, needsReason = true, fields = [], preview, act }) {
  const dialog = byId("decision");
  const form = dialog.querySelector("form");
  const button = byId("decision-confirm");
  const why = byId("decision-why");
  const listening = new AbortController();
  const { signal } = listening;
  byId("decision-heading").textContent = heading;
  byId("decision-text").textContent = text;
  byId("decision-fields").replaceChildren(...fields);
  byId("decision-preview").replaceChildren();
  byId("decision-reason").hidden = !needsReason;
  byId("decision-trouble").hidden = true;
  why.value = "";
  why.required = needsReason;
  button.textContent = confirm;
  button.className = isDangerous ? "danger" : "primary";

  let asked = 0;
  const refresh = async () => {
    if (preview === undefined) return;
    asked += 1;
    const mine = asked;
    button.disabled = true;
    const shown = await trouble(preview);
    if (mine !== asked || shown === null) return;
    byId("decision-preview").replaceChildren(shown);
    button.disabled = false;
  };
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    button.disabled = true;
    const done = await trouble(async () => {
      await act(why.value.trim());
      return true;
    });
    button.disabled = false;
    if (done) dialog.close();
  }, { signal });
  byId("decision-fields").addEventListener("change", refresh, { signal });
  byId("decision-cancel").addEventListener("click", () => dialog.close(), { signal });
  dialog.addEventListener("close", () => listening.abort(), { signal });
  button.disabled = false;
  dialog.showModal();
  refresh();
}

/**
 * Do something; say in the dialog why the server would not. Returns null then.
 * @template T
 * @param {() => Promise<T>} act
 * @returns {Promise<T | null>}
 */
async function trouble(act) {
  const place = byId("decision-trouble");
  try {
    const result = await act();
    place.hidden = true;
    return result;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    place.textContent = error instanceof Refused ? error.message : "The server does not answer; try again.";
    place.hidden = false;
    return null;
  }
}
