/** What the page says around the task: saved or not, one's own progress, the cord. */

import { Refused, Unreachable, send } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { fromNow, phrase, say } from "../shared/words.js";
import { endingOf } from "./endings.js";
import { whyNot } from "./refusals.js";

const EVERY_MS = 15_000;

/** @param {import("./outbox.js").OutboxState} state @param {number} pending */
export function showSaved(state, pending) {
  const line = byId("saved");
  line.dataset.state = state.kind;
  line.replaceChildren(...savedWords(state, pending));
}

/**
 * @param {import("./outbox.js").OutboxState} state
 * @param {number} count answers on their way
 * @returns {(string | Node)[]}
 */
function savedWords(state, count) {
  switch (state.kind) {
    case "idle": return [];
    case "saving": return phrase("saved.saving");
    case "saved": return phrase("saved.saved");
    case "foreign": return phrase("saved.foreign", { count });
    case "renewed": return phrase("saved.renewed", { count });
    case "changed": return phrase("saved.changed", { count });
    case "over": return count > 0 ? phrase("saved.over_with", { count }) : phrase("saved.over");
    case "ended": return count > 0 ? phrase("saved.ended_with", { count }) : phrase("saved.ended");
    case "retrying": return retryingWords(state.error, { count, when: fromNow(state.waitS) });
  }
}

/**
 * @param {Refused | Unreachable} error
 * @param {{count: number, when: string}} filledIn
 */
function retryingWords(error, filledIn) {
  if (error.status === 429) return phrase("saved.busy", filledIn);
  if (error.status === 0) return phrase("saved.offline", filledIn);
  return whyNot("saved.failed", error, filledIn);
}

/** Keeps progress and cord current. */
export class OwnProgress {
  /** @param {(ending: import("./endings.js").Ending) => void} onEnd told why nothing more is to be done here */
  constructor(onEnd) {
    this.onEnd = onEnd;
    setInterval(() => this.refresh(), EVERY_MS);
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Ask the server, unless nobody sees it; return what it says, or null. */
  async refresh() {
    if (document.hidden) return null;
    try {
      const me = await send("GET", "/me");
      byId("progress").replaceChildren(
        element("strong", {}, say("progress.today", { count: me.labels_today })),
        element("span", { class: "sep", "aria-hidden": "true" }, " · "),
        say("progress.in_all", { count: me.labels }),
      );
      for (const button of document.querySelectorAll(".undo")) {
        /** @type {HTMLButtonElement} */ (button).disabled = me.last === null;
      }
      showCord(me.cord);
      return me;
    } catch (error) {
      const ending = endingOf(error);
      if (ending !== null) this.onEnd(ending);
      else if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      return null;
    }
  }
}

/** @param {{is_pulled: boolean, pulled_by: string, reason: string}} cord */
export function showCord(cord) {
  const banner = byId("cord-banner");
  const said = element("span", {});
  if (cord.is_pulled) {
    const [by, reason] = [element("bdi", {}, cord.pulled_by), element("bdi", {}, cord.reason)];
    said.append(...phrase("cord.pulled", { by, reason }));
  }
  byId("open-cord").disabled = cord.is_pulled;
  banner.hidden = !cord.is_pulled;
  // Written only when it changes, so that it is read out once.
  if (banner.textContent !== said.textContent) banner.replaceChildren(said);
}
