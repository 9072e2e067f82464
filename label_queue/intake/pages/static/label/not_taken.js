/**
 * Answers that the run did not take. They are kept until somebody lets go of them, and can be
 * downloaded: what was said in one is not lost because it was refused. So can answers be that wait to
 * be sent and cannot.
 */

import { byId, element, giveFocus, meta } from "../shared/dom.js";
import { say } from "../shared/words.js";

/** Keeps them, and says how many there are. Fires `elsewhere` when another tab changed it. */
export class NotTaken extends EventTarget {
  /**
   * @param {import("./kept.js").Kept} kept
   * @param {() => any[]} unsent those that cannot be sent, each as `{id, answer}`
   * @param {() => void} forgetUnsent
   */
  constructor(kept, unsent, forgetUnsent) {
    super();
    this.kept = kept;
    this.unsent = unsent;
    this.forgetUnsent = forgetUnsent;
    byId("download-not-taken").addEventListener("click", () => this.#download());
    byId("forget-not-taken").addEventListener("click", () => this.#forget());
    kept.addEventListener("elsewhere", () => {
      this.show();
      this.dispatchEvent(new Event("elsewhere"));
    });
  }

  get count() {
    return this.kept.all.length;
  }

  /**
   * @param {string} id of the answer
   * @param {{status: number, message: string}} why
   * @param {any} answer
   */
  add(id, { status, message }, answer) {
    this.kept.put(id, { status, message, answer });
    this.show();
  }

  /**
   * Return an answer that is here, and why.
   * @param {string} id
   * @returns {{status: number, message: string, answer: any} | undefined}
   */
  find(id) {
    return this.kept.all.find((each) => each.id === id);
  }

  /** Say how many there are. */
  show() {
    const count = this.#all.length;
    byId("not-taken").hidden = count === 0;
    if (count > 0) byId("not-taken-count").textContent = say("not_taken.count", { count });
  }

  /** What was refused, with why, then what was not sent, with none. */
  get #all() {
    const refused = this.kept.all.map(({ status, message, answer }) => ({ status, message, answer }));
    return [...refused, ...this.unsent().map(({ answer }) => ({ status: null, message: null, answer }))];
  }

  #forget() {
    for (const { id } of this.kept.all) this.kept.remove(id);
    this.forgetUnsent();
    this.show();
    giveFocus(byId("main"));
  }

  #download() {
    const lines = this.#all.map((each) => `${JSON.stringify(each)}\n`);
    const href = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
    element("a", { href, download: `andon-${meta("andon-run")}.jsonl` }).click();
    URL.revokeObjectURL(href);
  }
}
