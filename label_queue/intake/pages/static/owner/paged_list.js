/** A list that comes page by page. Items stay in place while they are as they were. */

import { Refused, Unreachable } from "../shared/api.js";
import { arrange, byId, element } from "../shared/dom.js";
import { count } from "./format.js";

const REFRESH_MS = 5_000;

/**
 * @typedef {object} Page
 * @property {any[]} items
 * @property {number} total
 */

/** One list, with its buttons to turn pages. */
export class PagedList {
  #offset = 0;
  #total = 0;
  #asked = 0;
  #loadedAt = -Infinity;
  /** @type {Map<string, {key: string, node: any}>} */
  #nodes = new Map();

  /**
   * @param {object} how
   * @param {string} how.name of the ids: `NAME`, `NAME-pager`, `no-NAME`, `NAME-heading`
   * @param {number} how.limit items on a page
   * @param {(offset: number, limit: number) => Promise<Page>} how.load
   * @param {(item: any) => string} how.idOf
   * @param {(item: any) => string} [how.keyOf] what an item looks like: it is made anew when this changes
   * @param {(item: any) => HTMLElement} how.make
   * @param {(item: any) => void} [how.fill] brings up to date what was made of an item, in the place of
   *   making it anew
   * @param {number} [how.everyMs] least time between two loads that nobody asked for
   */
  constructor(how) {
    this.how = how;
    this.back = this.#turner("Previous", -1);
    this.forth = this.#turner("Next", 1);
    this.where = element("span", { class: "small" });
    byId(`${how.name}-pager`).replaceChildren(this.back, this.where, this.forth);
  }

  /** Show the first page anew: another is wanted than before. */
  async restart() {
    this.#offset = 0;
    await this.reload();
  }

  /** Show this page anew, after something was done; the reader is taken to its heading. */
  async reload() {
    await this.#load(true);
  }

  /** Show this page as it is by now, unless that was done a moment ago. */
  async refresh() {
    if (performance.now() - this.#loadedAt >= (this.how.everyMs ?? REFRESH_MS)) await this.#load(false);
  }

  /**
   * @param {string} text
   * @param {number} by
   */
  #turner(text, by) {
    const turn = async () => {
      this.#offset = Math.max(0, this.#offset + by * this.how.limit);
      await this.#load(true);
    };
    return element("button", { type: "button", class: "small quiet", onclick: turn }, text);
  }

  /** @param {boolean} isForced whether also what has the focus is made anew */
  async #load(isForced) {
    this.#loadedAt = performance.now();
    this.#asked += 1;
    const mine = this.#asked;
    let page;
    try {
      page = await this.how.load(this.#offset, this.how.limit);
    } catch (error) {
      // What is shown stays; the page says by itself that it is reconnecting.
      if (error instanceof Refused || error instanceof Unreachable) return;
      throw error;
    }
    if (mine !== this.#asked) return;
    if (page.items.length === 0 && this.#offset > 0) {
      this.#offset = Math.max(0, Math.ceil(page.total / this.how.limit) - 1) * this.how.limit;
      await this.#load(isForced);
      return;
    }
    this.#show(page, isForced);
  }

  /**
   * @param {Page} page
   * @param {boolean} isForced
   */
  #show(page, isForced) {
    this.#total = page.total;
    const list = byId(this.how.name);
    arrange(list, page.items.map((item) => this.#nodeOf(item, isForced)), byId(`${this.how.name}-heading`));
    const present = new Set(page.items.map((item) => this.how.idOf(item)));
    for (const id of this.#nodes.keys()) if (!present.has(id)) this.#nodes.delete(id);
    byId(`no-${this.how.name}`).hidden = page.total > 0;
    this.#showWhere(page.items.length);
  }

  /** @param {number} shown */
  #showWhere(shown) {
    const last = this.#offset + shown;
    byId(`${this.how.name}-pager`).hidden = this.#total <= this.how.limit;
    this.where.textContent = `${count(this.#offset + 1)} to ${count(last)} of ${count(this.#total)}`;
    const focused = document.activeElement;
    this.back.disabled = this.#offset === 0;
    this.forth.disabled = last >= this.#total;
    // The last page was reached by what cannot be pressed any more: the focus would be lost.
    if (focused === this.forth && this.forth.disabled) this.back.focus();
    if (focused === this.back && this.back.disabled) this.forth.focus();
  }

  /**
   * @param {any} item
   * @param {boolean} isForced
   */
  #nodeOf(item, isForced) {
    const id = this.how.idOf(item);
    const known = this.#nodes.get(id);
    if (known !== undefined && this.how.fill !== undefined) {
      this.how.fill(item);
      return known.node;
    }
    const key = this.how.keyOf?.(item) ?? "";
    const isInUse = !isForced && known?.node.contains(document.activeElement);
    if (known !== undefined && (known.key === key || isInUse)) return known.node;
    const node = this.how.make(item);
    const details = node.querySelector("details");
    if (details !== null && known?.node.querySelector("details")?.open) details.open = true;
    this.#nodes.set(id, { key, node });
    return node;
  }
}
