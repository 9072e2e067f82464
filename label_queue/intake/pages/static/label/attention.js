/** How long somebody truly looked at a task: the page visible, and they not gone. */

const IDLE_MS = 60_000;
// Not "scroll": the page scrolls by itself where a new task comes.
const SIGNS = ["pointermove", "pointerdown", "keydown", "wheel", "touchmove"];

/** Counts active time. Reading without touching anything counts for a minute at most. */
export class Attention {
  #activeMs = 0;
  #lastSign;

  /** @param {() => number} [now] milliseconds, only ever rising */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.#lastSign = now();
    for (const sign of SIGNS) {
      document.addEventListener(sign, () => this.#look(), { capture: true, passive: true });
    }
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#count();
      this.#lastSign = this.now();
    });
  }

  #look() {
    if (!document.hidden) this.#count();
    this.#lastSign = this.now();
  }

  #count() {
    this.#activeMs += Math.min(this.now() - this.#lastSign, IDLE_MS);
    this.#lastSign = this.now();
  }

  /** Begin a new task. */
  reset() {
    this.#activeMs = 0;
    this.#lastSign = this.now();
  }

  /** Milliseconds of this task so far. */
  get activeMs() {
    const open = document.hidden ? 0 : Math.min(this.now() - this.#lastSign, IDLE_MS);
    return Math.round(this.#activeMs + open);
  }

  /** Milliseconds since anybody moved. */
  get idleMs() {
    return this.now() - this.#lastSign;
  }
}
