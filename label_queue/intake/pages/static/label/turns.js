/** One tab after another. */

import { pause } from "../shared/api.js";

/** What the tab before did is told to this one by another way than that its turn is over. */
const NEWS_MS = 100;

/**
 * Do something while no other tab does anything by this name; return what it returns. A turn ends with
 * its tab. Where the browser has no turns to give, it is done all the same.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} act
 * @returns {Promise<T>}
 */
export async function inTurn(name, act) {
  /** @type {{done: T} | null} */
  let first = null;
  try {
    await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
      if (lock !== null) first = { done: await act() };
    });
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "SecurityError")) throw error;
    return act();
  }
  if (first !== null) return /** @type {{done: T}} */ (first).done;
  return navigator.locks.request(name, async () => {
    await pause(NEWS_MS);
    return act();
  });
}
