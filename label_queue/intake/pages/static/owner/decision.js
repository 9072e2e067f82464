/** One dialog for all that the owner decides: what it is, what it would change, and why. */

import { byId } from "../shared/dom.js";
import { whyNot } from "./trouble.js";
import { offerUndo } from "./undo.js";

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
  showTrouble("");
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
    const isLate = () => signal.aborted || mine !== asked;
    try {
      const shown = await preview();
      if (isLate()) return;
      byId("decision-preview").replaceChildren(shown);
      showTrouble("");
      button.disabled = false;
    } catch (error) {
      const trouble = whyNot(error);
      if (!isLate()) showTrouble(trouble);
    }
  };
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    button.disabled = true;
    const trouble = await troubleOf(() => act(why.value.trim()));
    // Once this decision is closed, the dialog may be another's, and only the bar is left to say it.
    if (signal.aborted) {
      if (trouble !== "") offerUndo(`“${heading}” failed: ${trouble}`, null);
      return;
    }
    button.disabled = false;
    showTrouble(trouble);
    if (trouble === "") dialog.close();
  }, { signal });
  byId("decision-fields").addEventListener("change", refresh, { signal });
  byId("decision-cancel").addEventListener("click", () => dialog.close(), { signal });
  dialog.addEventListener("close", () => listening.abort(), { signal });
  button.disabled = false;
  dialog.showModal();
  refresh();
}

/**
 * Do something; return why it did not come about, "" where it did.
 * @param {() => Promise<void>} act
 */
async function troubleOf(act) {
  try {
    await act();
    return "";
  } catch (error) {
    return whyNot(error);
  }
}

/** @param {string} why "" for none */
function showTrouble(why) {
  const place = byId("decision-trouble");
  place.textContent = why;
  place.hidden = why === "";
}
