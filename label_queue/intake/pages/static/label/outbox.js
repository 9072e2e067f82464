/**
 * Answers on their way. Each is kept in the tab's own storage until the server has it on disk, so
 * neither a refresh nor a lost connection loses one; the same answer sent twice counts once.
 */

import { Refused, Unreachable, pause, send } from "../shared/api.js";

const LONGEST_WAIT_S = 30;

/**
 * @typedef {{kind: "idle" | "saving" | "saved" | "ended" | "foreign"} |
 *   {kind: "retrying", waitS: number, why: string}} OutboxState
 */

/** Sends answers in order, one at a time, as often as it takes. */
export class Outbox extends EventTarget {
  #isSending = false;

  /**
   * @param {string} key of the storage: one for each run and labeler
   * @param {(state: OutboxState) => void} onState
   * @param {(error: Refused) => void} onRefused
   */
  constructor(key, onState, onRefused) {
    super();
    this.key = key;
    this.onState = onState;
    this.onRefused = onRefused;
    /** @type {any[]} */
    this.pending = JSON.parse(sessionStorage.getItem(key) ?? "[]");
  }

  /** @param {string} assignmentId */
  holds(assignmentId) {
    return this.pending.some((submission) => submission.assignment_id === assignmentId);
  }

  /** @param {any} submission */
  add(submission) {
    this.pending.push(submission);
    this.#keep();
    this.drain();
  }

  #keep() {
    sessionStorage.setItem(this.key, JSON.stringify(this.pending));
  }

  /** Send all there is; returns at once if that is already being done. */
  async drain() {
    if (this.#isSending) return;
    this.#isSending = true;
    let failures = 0;
    while (this.pending.length > 0) {
      if (failures === 0) this.onState({ kind: "saving" });
      try {
        await send("POST", "/labels", this.pending[0]);
        failures = 0;
        this.#settle();
        if (this.pending.length === 0) this.onState({ kind: "saved" });
      } catch (error) {
        if (error instanceof Refused && error.status === 401) {
          this.onState({ kind: "ended" });
          break;
        }
        if (error instanceof Refused && error.status === 403) {
          // Somebody else signed in here meanwhile; the answer is not theirs, and it is not lost.
          this.onState({ kind: "foreign" });
          break;
        }
        failures += 1;
        await this.#recover(error, failures);
      }
    }
    this.#isSending = false;
    this.dispatchEvent(new Event("drained"));
  }

  #settle() {
    this.pending.shift();
    this.#keep();
  }

  /**
   * @param {unknown} error
   * @param {number} failures
   */
  async #recover(error, failures) {
    if (error instanceof Unreachable) {
      const waitS = Math.min(LONGEST_WAIT_S, 2 ** (failures - 1));
      this.onState({ kind: "retrying", waitS, why: "offline" });
      await pause(waitS * 1000);
    } else if (error instanceof Refused && error.status === 429) {
      this.onState({ kind: "retrying", waitS: error.retryAfterS, why: "busy" });
      await pause(error.retryAfterS * 1000);
    } else if (error instanceof Refused) {
      this.#settle();
      this.onRefused(error);
      this.onState({ kind: "idle" });
    } else {
      throw error;
    }
  }
}
