/**
 * A one-time link is opened once, however often its button is pressed: a second press would cancel the
 * first, whose answer has the session, and find the link used up. By itself, so that nothing is waited for.
 */

/** How long the answer to a press is waited for before another one counts. */
const PATIENCE_MS = 15_000;

let isOnItsWay = false;

document.addEventListener("submit", (event) => {
  if (isOnItsWay) {
    event.preventDefault();
    return;
  }
  isOnItsWay = true;
  setTimeout(() => { isOnItsWay = false; }, PATIENCE_MS);
});

// Whoever goes back to the page may find it as it was left.
window.addEventListener("pageshow", () => { isOnItsWay = false; });
