/** Who agrees with whom: a row for each labeler, a column for each other one. */

import { send } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { UNKNOWN, counted, percent } from "./format.js";
import { PagedList } from "./paged_list.js";

const LIMIT = 20;

/** The table, which is filled once it is opened. */
export class Matrix {
  /** @type {string[]} */
  #names = [];

  constructor() {
    this.list = new PagedList({
      name: "matrix",
      limit: LIMIT,
      load: async (offset, limit) => {
        const page = await send("GET", `/owner/labelers/agreement?offset=${offset}&limit=${limit}`);
        this.#showNames(page.names);
        return { items: page.rows, total: page.total };
      },
      idOf: (row) => row.labeler_id,
      keyOf: (row) => JSON.stringify([row, this.#names]),
      make: (row) => this.#row(row),
    });
    byId("matrix-details").addEventListener("toggle", () => this.refresh());
  }

  /** Show it as it is by now, if it is open. */
  async refresh() {
    if (byId("matrix-details").open) await this.list.refresh();
  }

  /** @param {string[]} names */
  #showNames(names) {
    if (names.join("\n") === this.#names.join("\n")) return;
    this.#names = names;
    byId("matrix-names").replaceChildren(
      element("td", {}),
      ...names.map((name) => element("th", { scope: "col" }, name)));
  }

  /** @param {any} row */
  #row(row) {
    return element("tr", {},
      element("th", { scope: "row" }, row.labeler_id),
      ...row.with_others.map((/** @type {any} */ agreement) => agreement === null
        ? element("td", { class: "number" }, UNKNOWN)
        : element("td", { class: "number", title: `on ${counted(agreement.num_queries, "shared label")}` }, percent(agreement.share))));
  }
}
