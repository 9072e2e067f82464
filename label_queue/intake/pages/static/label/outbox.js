/**
 * Answers on their way. Each is kept in the tab's own storage until the server has it on disk, so
 * neither a refresh nor a lost connection loses one; the same answer sent twice counts once.
 */

import { Refused, Unreachable, pause, send } from "../shared/api.js";

const LONGEST_WAIT_S = 30;
/** With these all answers fail alike; with any other, another answer may well be taken. */
const FAILING_ALIKE = new Set([0, 502, 503, 504, 507]);

/**
 * @typedef {{kind: "idle" | "saving" | "saved" | "ended" | "changed" | "foreign"} |
 *   {kind: "retrying", waitS: number, error: Refused | Unreachable}} OutboxState
 */

/** Sends answers in order, one at a time, as often as it takes. */
export class Outbox extends EventTarget {
  #isSending = false;

  /**
   * @param {string} key of the storage: one for each run and labeler
   * @param {(state: OutboxState) => void} onState
   * @param {(error: Refused, submission: any) => void} onRefused given the answer, which is kept here no more
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
        const state = await this.#shutOut(error);
        if (state !== null) {
          this.onState(state);
          break;
        }
        failures += 1;
        await this.#recover(error, failures);
      }
    }
    this.#isSending = false;
    this.dispatchEvent(new Event("drained"));
  }

  /**
   * Return why nothing more is sent, if so: then no answer is at fault, and none is lost.
   * @param {unknown} error
   * @returns {Promise<OutboxState | null>}
   */
  async #shutOut(error) {
    if (!(error instanceof Refused)) return null;
    if (error.status === 401) return { kind: "ended" };
    // With a field, it is this answer that is refused.
    if (error.status !== 403 || error.field !== null) return null;
    return { kind: await hasLostRole() ? "changed" : "foreign" };
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
      if (!FAILING_ALIKE.has(error.status)) this.#letOthersGoFirst();
      this.onState({ kind: "retrying", waitS, error });
      await pause(waitS * 1000);
    } else if (error instanceof Refused && error.status === 429) {
      this.onState({ kind: "retrying", waitS: error.retryAfterS, error });
      await pause(error.retryAfterS * 1000);
    } else if (error instanceof Refused) {
      const submission = this.pending[0];
      this.onRefused(error, submission);
      this.#settle();
      this.onState({ kind: "idle" });
    } else {
      throw error;
    }
  }

  /** Put the first answer behind all others, with what changes it: those keep their order. */
  #letOthersGoFirst() {
    const { assignment_id: first } = this.pending[0];
    const late = this.pending.filter((each) => each.assignment_id === first);
    this.pending = [...this.pending.filter((each) => !late.includes(each)), ...late];
    this.#keep();
  }
}

/** Whether whoever is signed in here may not label any more; if not, it is somebody else. */
async function hasLostRole() {
  try {
    await send("GET", "/me");
    return false;
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    return error.status === 403;
  }
}
