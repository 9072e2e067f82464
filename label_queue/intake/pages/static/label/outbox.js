/**
 * Answers on their way. Each is kept until the server has it on disk, so that neither a refresh, a
 * closed tab nor a lost connection loses one; any tab of whoever gave it sends it, one tab at a time.
 * A tab may die between sending and hearing of it: the same answer sent twice counts once.
 */

import { Over, Refused, Unreachable, pause, send } from "../shared/api.js";
import { meta } from "../shared/dom.js";
import { inTurn } from "./turns.js";

const LONGEST_WAIT_S = 30;
/** How long what was given in another tab is left to that tab. */
const FIRST_GO_MS = 1_000;
/** With these all answers fail alike; with any other, another answer may well be taken. */
const FAILING_ALIKE = new Set([0, 502, 503, 504, 507]);

/**
 * @typedef {{kind: "idle" | "saving" | "saved" | "ended" | "changed" | "foreign" | "renewed" | "over"} |
 *   {kind: "retrying", waitS: number, error: Refused | Unreachable}} OutboxState
 */

/** Sends answers in order, one at a time, as often as it takes. */
export class Outbox extends EventTarget {
  /** @type {Promise<void> | null} */
  #draining = null;
  /** Why nothing more is sent by this page. @type {OutboxState | null} */
  #stopped = null;
  #failures = 0;
  /** Whether the answer that left last is one that the run has. */
  #wasTaken = true;
  /** Answers given on this page of which it has not heard what became. @type {Set<string>} */
  #given = new Set();
  /** Assignments that were answered through this page. @type {Set<string>} */
  #taken = new Set();

  /**
   * @param {import("./kept.js").Kept} kept
   * @param {import("./not_taken.js").NotTaken} notTaken
   * @param {(state: OutboxState) => void} onState also told when another tab has changed how many there are
   * @param {(error: {status: number, message: string}) => void} onRefused told why an answer that was
   *   given on this page was not taken
   */
  constructor(kept, notTaken, onState, onRefused) {
    super();
    this.kept = kept;
    this.notTaken = notTaken;
    this.onState = onState;
    this.onRefused = onRefused;
    kept.addEventListener("elsewhere", () => this.#followOthers());
    notTaken.addEventListener("elsewhere", () => this.#hearOfRefusals());
    window.addEventListener("online", () => this.dispatchEvent(new Event("wake")));
  }

  /** All that are kept, each as `{id, answer}`. */
  get pending() {
    return this.kept.all;
  }

  /** Those that will not be sent from here, or not soon. */
  get stuck() {
    const isLong = 2 ** (this.#failures - 1) >= LONGEST_WAIT_S;
    return this.#stopped !== null || isLong ? this.pending : [];
  }

  /** @param {string} assignmentId */
  holds(assignmentId) {
    const isKept = this.pending.some(({ answer }) => answer.assignment_id === assignmentId);
    return isKept || this.#taken.has(assignmentId);
  }

  /** @param {any} answer */
  add(answer) {
    const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.#given.add(id);
    this.kept.put(id, { answer });
    this.drain();
  }

  /** Keep none of those that are stuck. */
  forget() {
    for (const { id } of this.stuck) this.kept.remove(id);
    this.#wasTaken = false;
    if (this.#stopped !== null) this.onState(this.#stopped);
    this.dispatchEvent(new Event("wake"));
  }

  /** Send all there is; resolve once none is left, or none is sent any more. */
  drain() {
    if (this.pending.length === 0) return Promise.resolve();
    this.#draining ??= this.#sendUntilNone().finally(() => { this.#draining = null; });
    return this.#draining;
  }

  async #sendUntilNone() {
    this.#stopped = null;
    this.#failures = 0;
    this.#wasTaken = true;
    while (this.pending.length > 0) {
      if (this.#failures === 0) this.onState({ kind: "saving" });
      const error = await inTurn(this.kept.name, () => this.#sendAll());
      if (error === null) continue;
      this.#stopped = await this.#shutOut(error);
      if (this.#stopped !== null) {
        this.onState(this.#stopped);
        return;
      }
      await this.#wait(error);
    }
    this.#failures = 0;
    this.#hearOfRefusals();
    this.onState({ kind: this.#wasTaken ? "saved" : "idle" });
  }

  /**
   * Send all until one cannot be sent, at no fault of its own; return why, null if none is left.
   * @returns {Promise<Refused | Unreachable | null>}
   */
  async #sendAll() {
    for (let next = this.pending[0]; next !== undefined; next = this.pending[0]) {
      try {
        await send("POST", "/labels", next.answer);
        this.#taken.add(next.answer.assignment_id);
        this.#wasTaken = true;
      } catch (error) {
        if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
        if (!isAboutAnswer(error)) {
          if (error instanceof Unreachable && !FAILING_ALIKE.has(error.status)) this.#letOthersGoBefore(next.answer);
          return error;
        }
        this.notTaken.add(next.id, error, next.answer);
        this.#wasTaken = false;
      }
      this.#failures = 0;
      this.kept.remove(next.id);
      this.#hearOfRefusals();
      if (this.pending.length > 0) this.onState({ kind: "saving" });
    }
    return null;
  }

  /**
   * Return why nothing more is sent, if so: then no answer is at fault, and none is lost.
   * @param {Refused | Unreachable} error
   * @returns {Promise<OutboxState | null>}
   */
  async #shutOut(error) {
    if (error instanceof Over) return { kind: "over" };
    if (!(error instanceof Refused)) return null;
    if (error.status === 401) return { kind: "ended" };
    return error.status === 403 ? { kind: await whoIsHere() } : null;
  }

  /** @param {Refused | Unreachable} error */
  async #wait(error) {
    let waitS;
    if (error instanceof Refused) {
      waitS = error.retryAfterS;
    } else {
      this.#failures += 1;
      waitS = Math.min(LONGEST_WAIT_S, 2 ** (this.#failures - 1));
    }
    this.onState({ kind: "retrying", waitS, error });
    await pause(waitS * 1000, this, "wake");
  }

  /**
   * Put an answer behind all others, with what changes it: those keep their order.
   * @param {{assignment_id: string}} answer
   */
  #letOthersGoBefore({ assignment_id: first }) {
    const late = this.pending.filter(({ answer }) => answer.assignment_id === first);
    for (const { id, answer } of late) this.kept.put(id, { answer });
  }

  /** An answer was given in another tab, or left. */
  async #followOthers() {
    if (this.#stopped !== null) this.onState(this.#stopped);
    else if (this.pending.length === 0) this.dispatchEvent(new Event("wake"));
    if (this.pending.length === 0) return;
    await pause(FIRST_GO_MS);
    if (this.#stopped === null) this.drain();
  }

  /** Whichever tab sent an answer, the page on which it was given says why it was refused. */
  #hearOfRefusals() {
    const pending = new Set(this.pending.map(({ id }) => id));
    for (const id of this.#given) {
      const refused = this.notTaken.find(id);
      if (refused !== undefined) {
        this.#wasTaken = false;
        this.onRefused(refused);
      }
      if (refused !== undefined || !pending.has(id)) this.#given.delete(id);
    }
  }
}

/**
 * Whether it is this answer that is refused, and another may be taken.
 * @param {Refused | Unreachable} error
 */
function isAboutAnswer(error) {
  if (!(error instanceof Refused) || error.status === 401 || error.status === 429) return false;
  return error.status !== 403 || error.field !== null;
}

/**
 * Return why whoever is signed in here is refused: they may not label any more, their session ended,
 * they came in again by another tab, or they are somebody else.
 */
async function whoIsHere() {
  try {
    const { labeler_id } = await send("GET", "/me");
    return labeler_id === meta("andon-labeler") ? "renewed" : "foreign";
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    if (error.status === 403) return "changed";
    return error.status === 401 ? "ended" : "foreign";
  }
}
