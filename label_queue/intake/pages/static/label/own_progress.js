/** What the page says around the task: saved or not, one's own progress, the cord. */

import { Refused, Unreachable, send } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";

const EVERY_MS = 15_000;

/** @param {import("./outbox.js").OutboxState} state @param {number} pending */
export function showSaved(state, pending) {
  const line = byId("saved");
  const answers = pending === 1 ? "1 answer is kept here" : `${pending} answers are kept here`;
  const words = {
    idle: "",
    saving: "Saving …",
    saved: "Saved",
    ended: pending > 0 ? `Session ended; ${answers}` : "Session ended",
    foreign: `Somebody else signed in here; ${answers} until you come back: reload the page`,
    retrying: "",
  };
  line.dataset.state = state.kind;
  line.textContent = words[state.kind];
  if (state.kind === "retrying") {
    const why = state.why === "busy" ? "Too fast" : "No connection";
    line.textContent = `${why}; ${answers} and sent again in ${state.waitS} s`;
  }
}

/** Keeps progress and cord current. */
export class OwnProgress {
  /** @param {() => void} onEnded */
  constructor(onEnded) {
    this.onEnded = onEnded;
    setInterval(() => this.refresh(), EVERY_MS);
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Ask the server, unless nobody sees it; return what it says, or null. */
  async refresh() {
    if (document.hidden) return null;
    try {
      const me = await send("GET", "/me");
      const count = (/** @type {number} */ n) => n.toLocaleString("en");
      byId("progress").replaceChildren(
        element("strong", {}, count(me.labels_today)), " today",
        element("span", { class: "sep", "aria-hidden": "true" }, " · "),
        `${count(me.labels)} in all`,
      );
      for (const button of document.querySelectorAll(".undo")) {
        /** @type {HTMLButtonElement} */ (button).disabled = me.last === null;
      }
      showCord(me.cord);
      return me;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) this.onEnded();
      else if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      return null;
    }
  }
}

/** @param {{is_pulled: boolean, pulled_by: string, reason: string}} cord */
export function showCord(cord) {
  const banner = byId("cord-banner");
  const text = cord.is_pulled
    ? `The line is stopped. ${cord.pulled_by}: “${cord.reason}” You may go on: your answers are kept.`
    : "";
  byId("open-cord").disabled = cord.is_pulled;
  banner.hidden = !cord.is_pulled;
  // Written only when it changes, so that it is read out once.
  if (banner.textContent !== text) banner.textContent = text;
}
