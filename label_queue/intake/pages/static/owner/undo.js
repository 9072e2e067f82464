/** What was done last, and a button that undoes it. */

import { byId } from "../shared/dom.js";
import { whyNot } from "./trouble.js";

/** The reason under which an undo is kept in the ledger. */
export const UNDONE = "undone on the owner's page";

/** @type {(() => Promise<void>) | null} */
let undoing = null;

/**
 * Say what was done, and offer to undo it until something else is done.
 * @param {string} what e.g. "Gold is retired."
 * @param {(() => Promise<void>) | null} undo null where nothing undoes it
 */
export function offerUndo(what, undo) {
  undoing = undo;
  byId("undo-text").textContent = what;
  byId("undo-do").hidden = undo === null;
  byId("undo").hidden = false;
}

/** Let the bar's buttons work. A double click undoes once. */
export function setUpUndo() {
  byId("undo-close").addEventListener("click", () => {
    undoing = null;
    byId("undo").hidden = true;
    byId("main").focus({ preventScroll: true });
  });
  byId("undo-do").addEventListener("click", async () => {
    const undo = undoing;
    undoing = null;
    if (undo === null) return;
    try {
      await undo();
      offerUndo("Undone.", null);
    } catch (error) {
      offerUndo(`Not undone: ${whyNot(error)}`, null);
    }
  });
}
