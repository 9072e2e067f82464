/** Renewing the leases of the tasks on the page, as long as somebody is there. */

import { Refused, Unreachable, send } from "../shared/api.js";

const EVERY_MS = 30_000;
const GONE_MS = 10 * 60_000;

/**
 * Renew each held task's lease twice a minute while the page is visible and its reader is not gone.
 * A task whose lease ran out meanwhile may be answered all the same.
 * @param {() => {assignment_id: string}[]} held
 * @param {(assignmentId: string) => void} onLost told of a task that is no longer this labeler's
 * @param {{idleMs: number}} attention
 */
export function keepLeases(held, onLost, attention) {
  const beat = async () => {
    if (document.hidden || attention.idleMs > GONE_MS) return;
    // The task on the page is the line's first as well, and one heartbeat is enough for it.
    for (const assignment_id of new Set(held().map((task) => task.assignment_id))) {
      try {
        const renewal = await send("POST", `/assignments/${encodeURIComponent(assignment_id)}/heartbeat`);
        if (!renewal.is_held) onLost(assignment_id);
      } catch (error) {
        // The next beat tries again; what an ended session means, the other requests say.
        if (!(error instanceof Unreachable || error instanceof Refused)) throw error;
      }
    }
  };
  setInterval(beat, EVERY_MS);
  document.addEventListener("visibilitychange", beat);
}
