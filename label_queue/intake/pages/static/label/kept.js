/**
 * What is kept of one person's answers to one run, for all tabs alike. Each thing has a key of its own, so
 * that two tabs never write over one another. Where the browser keeps nothing, or has no room, it is
 * kept for as long as the tab is there, else for as long as the page is.
 */

import { ROOT } from "../shared/api.js";
import { meta } from "../shared/dom.js";
import { keysIn, read, remove, write } from "./storage.js";

/** @type {import("./storage.js").Place[]} The best first. */
const PLACES = ["browser", "tab"];

/**
 * Return a key that is this person's and this run's alone. A name may have colons.
 * @param {string} name of what is kept
 */
export function storageKey(name) {
  return `andon-${name}:${[ROOT, meta("andon-run"), meta("andon-labeler")].map(encodeURIComponent).join(":")}`;
}

/**
 * Things in the order in which they came, each as `{id, at, ...thing}`. Fires `elsewhere` when another
 * tab put one here, with the thing as its `detail`, or removed one, with null.
 */
export class Kept extends EventTarget {
  #prefix;
  /** What no storage took, by key. @type {Map<string, string>} */
  #onPage = new Map();

  /** @param {string} name */
  constructor(name) {
    super();
    this.name = storageKey(name);
    this.#prefix = `${this.name}:`;
    window.addEventListener("storage", ({ key, newValue }) => {
      if (key !== null && !key.startsWith(this.#prefix)) return;
      const detail = newValue === null ? null : JSON.parse(newValue);
      this.dispatchEvent(new CustomEvent("elsewhere", { detail }));
    });
  }

  /** @returns {any[]} */
  get all() {
    /** @type {Map<string, string | null>} */
    const texts = new Map();
    for (const place of PLACES) {
      for (const key of keysIn(place, this.#prefix)) texts.set(key, read(place, key));
    }
    for (const [key, text] of this.#onPage) texts.set(key, text);
    const things = [...texts].filter(([, text]) => text !== null).map(([key, text]) => ({
      ...JSON.parse(/** @type {string} */ (text)),
      id: key.slice(this.#prefix.length),
    }));
    return things.sort((one, other) => one.at - other.at || (one.id < other.id ? -1 : 1));
  }

  /** How long what is here is kept: what is kept the shortest counts. @returns {"browser" | "tab" | "page"} */
  get lasting() {
    if (this.#onPage.size > 0) return "page";
    return keysIn("tab", this.#prefix).length > 0 ? "tab" : "browser";
  }

  /**
   * Keep a thing, behind all others.
   * @param {string} id
   * @param {object} thing
   */
  put(id, thing) {
    const last = this.all.at(-1)?.at ?? 0;
    const text = JSON.stringify({ ...thing, at: Math.max(Date.now(), last + 1) });
    const key = this.#prefix + id;
    const found = PLACES.find((place) => write(place, key, text));
    for (const place of PLACES) if (place !== found) remove(place, key);
    if (found === undefined) this.#onPage.set(key, text);
    else this.#onPage.delete(key);
  }

  /** @param {string} id */
  remove(id) {
    const key = this.#prefix + id;
    for (const place of PLACES) remove(place, key);
    this.#onPage.delete(key);
  }
}
