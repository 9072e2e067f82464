/** The tasks of this labeler: the one on the page, and the next two fetched before they are wanted. */

import { Refused, Unreachable, pause, send } from "../shared/api.js";
import { endingOf } from "./endings.js";

const AHEAD = 3;
const LONG_POLL_S = 25;
const POLL_TIMEOUT_MS = 45_000;
const LOOK_AGAIN_MS = 3_000;

/** Holds leased tasks in order and keeps itself filled. Fires `change`. */
export class TaskLine extends EventTarget {
  /** @type {import("./answer.js").Task[]} */
  tasks = [];
  /** Whether the server had nothing when last asked. */
  isDry = false;
  isClosed = false;
  isOver = false;

  /**
   * @param {object} how
   * @param {(assignmentId: string) => boolean} how.isAnswered
   * @param {(ending: import("./endings.js").Ending) => void} how.onEnd told why nothing more is to be done here
   * @param {(error: Unreachable | null) => void} how.onTrouble told why none comes, and that some do
   */
  constructor(how) {
    super();
    this.how = how;
    document.addEventListener("visibilitychange", () => this.#changed());
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Take what the server still holds for this labeler, then go on fetching for ever. */
  async run() {
    let isResumed = false;
    while (!this.isOver) {
      try {
        if (!isResumed) {
          for (const task of (await send("GET", "/tasks/held")).tasks) this.#add(task);
          isResumed = true;
          this.#changed();
        }
        await this.#fill();
      } catch (error) {
        await this.#recover(error);
      }
    }
  }

  /** Let go of the first task: it was answered. */
  next() {
    this.tasks.shift();
    this.#changed();
  }

  /**
   * Let go of a task that somebody else was given, unless it is on the page.
   * @param {string} assignmentId
   */
  drop(assignmentId) {
    const at = this.tasks.findIndex((task) => task.assignment_id === assignmentId);
    if (at < 1) return;
    this.tasks.splice(at, 1);
    this.#changed();
  }

  async #fill() {
    // A page nobody sees leases nothing more than it has.
    if (this.tasks.length >= AHEAD || document.hidden) {
      await pause(60_000, this, "change");
      return;
    }
    const isWaiting = this.tasks.length === 0 && this.isDry && !this.isClosed;
    const waitS = isWaiting ? LONG_POLL_S : 0;
    const asked = performance.now();
    const task = await send("GET", `/tasks/next?wait_s=${waitS}`, undefined, POLL_TIMEOUT_MS);
    this.how.onTrouble(null);
    if (task !== null && this.#add(task)) {
      this.isDry = false;
      this.isClosed = false;
      this.#changed();
      return;
    }
    const { is_closed: isClosed } = await send("GET", "/run");
    const isNews = !this.isDry || isClosed !== this.isClosed;
    this.isDry = true;
    this.isClosed = isClosed;
    if (isNews) this.#changed();
    if (this.tasks.length > 0) await pause(LOOK_AGAIN_MS, this, "change");
    // A server that does not let this labeler wait is not asked again and again.
    else if (isClosed || (isWaiting && performance.now() - asked < LOOK_AGAIN_MS)) await pause(LOOK_AGAIN_MS);
  }

  /** @param {import("./answer.js").Task} task */
  #add(task) {
    const id = task.assignment_id;
    if (this.how.isAnswered(id) || this.tasks.some((held) => held.assignment_id === id)) return false;
    this.tasks.push(task);
    return true;
  }

  /** @param {unknown} error */
  async #recover(error) {
    const ending = endingOf(error);
    if (ending !== null) {
      this.isOver = true;
      this.how.onEnd(ending);
    } else if (error instanceof Unreachable) {
      // Without any answer the page may as well be waiting; tasks that are there go on.
      if (error.status !== 0 && this.tasks.length === 0) this.how.onTrouble(error);
      await pause(LOOK_AGAIN_MS);
    } else if (error instanceof Refused) {
      await pause(Math.max(LOOK_AGAIN_MS, error.retryAfterS * 1000));
    } else {
      throw error;
    }
  }
}
