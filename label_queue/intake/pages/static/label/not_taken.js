/**
 * Answers that the run did not take. They stay in the tab's own storage until somebody lets go of
 * them, and can be downloaded: what was said in one is not lost because it was refused.
 */

import { byId, element, giveFocus, meta } from "../shared/dom.js";
import { say } from "../shared/words.js";

/** Keeps them, and says how many there are. */
export class NotTaken {
  /** @type {any[]} */
  #kept;

  /** @param {string} key of the storage: one for each run and labeler */
  constructor(key) {
    this.key = key;
    this.#kept = JSON.parse(sessionStorage.getItem(key) ?? "[]");
    byId("download-not-taken").addEventListener("click", () => this.#download());
    byId("forget-not-taken").addEventListener("click", () => this.#forget());
    this.#show();
  }

  get count() {
    return this.#kept.length;
  }

  /**
   * @param {import("../shared/api.js").Refused} error
   * @param {any} submission
   */
  add({ status, message }, submission) {
    this.#kept.push({ status, message, answer: submission });
    this.#changed();
  }

  #forget() {
    this.#kept = [];
    this.#changed();
    giveFocus(byId("main"));
  }

  #changed() {
    sessionStorage.setItem(this.key, JSON.stringify(this.#kept));
    this.#show();
  }

  #show() {
    byId("not-taken").hidden = this.count === 0;
    if (this.count > 0) byId("not-taken-count").textContent = say("not_taken.count", { count: this.count });
  }

  #download() {
    const lines = this.#kept.map((each) => `${JSON.stringify(each)}\n`);
    const href = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
    element("a", { href, download: `andon-${meta("andon-run")}.jsonl` }).click();
    URL.revokeObjectURL(href);
  }
}
