/** A table's headers by which it is sorted: by pointer and by keyboard, and told to screen readers. */

import { element } from "../shared/dom.js";

/** @typedef {"ascending" | "descending"} Direction */

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} [title] what the name does not say
 * @property {boolean} [isNumber]
 * @property {(item: any) => string | number | null} by null comes last, whatever the direction
 * @property {Direction} first the direction when it is chosen
 */

const NAMES = new Intl.Collator("en", { numeric: true });

/** The headers of one table, and what they say of its order: by the first column until another is chosen. */
export class SortedBy {
  /** @type {any[]} */
  #headers;
  #chosen = 0;
  /** @type {Direction} */
  #direction;

  /**
   * @param {Column[]} columns the first tells items apart, and decides between those that are alike
   * @param {() => void} onChoice
   */
  constructor(columns, onChoice) {
    this.columns = columns;
    this.#direction = this.#column(0).first;
    this.#headers = columns.map((column, at) =>
      element("th", { scope: "col", role: "columnheader", class: column.isNumber === true ? "number" : null },
        element("button", {
          type: "button", class: "sort", title: column.title ?? null,
          onclick: () => {
            this.#choose(at);
            onChoice();
          },
        }, column.name)));
    this.#say();
  }

  /** The headers, in the order of the columns. */
  get headers() {
    return this.#headers;
  }

  /**
   * Return items in the chosen order.
   * @param {any[]} items
   */
  sorted(items) {
    const [{ by }, { by: name }] = [this.#column(this.#chosen), this.#column(0)];
    const sign = this.#direction === "ascending" ? 1 : -1;
    return items.toSorted((one, other) => compared(by(one), by(other), sign) || compared(name(one), name(other), 1));
  }

  /** @param {number} at */
  #column(at) {
    return /** @type {Column} */ (this.columns[at]);
  }

  /** @param {number} at */
  #choose(at) {
    const turned = this.#direction === "ascending" ? "descending" : "ascending";
    this.#direction = at === this.#chosen ? turned : this.#column(at).first;
    this.#chosen = at;
    this.#say();
  }

  #say() {
    this.#headers.forEach((header, at) => {
      if (at === this.#chosen) header.setAttribute("aria-sort", this.#direction);
      else header.removeAttribute("aria-sort");
    });
  }
}

/**
 * @param {string | number | null} one
 * @param {string | number | null} other
 * @param {number} sign −1 for the largest first
 */
function compared(one, other, sign) {
  if (one === null || other === null) return Number(one === null) - Number(other === null);
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  return sign * NAMES.compare(String(one), String(other));
}
