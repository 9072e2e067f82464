/** Who may come in, in which role and by what: found by name, a page at a time. */

import { send } from "../shared/api.js";
import { byId, element } from "../shared/dom.js";
import { ago, counted } from "./format.js";
import { PagedList } from "./paged_list.js";

const LIMIT = 20;
const TYPING_MS = 250;
export const ROLES = { labeler: "Labeler", observer: "Observer", owner: "Owner" };
const KINDS = {
  token: "Token for a program", link: "One-time link", session: "Session in a browser", identity: "Sign-in by a provider",
};

/**
 * @typedef {{onLink: (person: any) => void, onRole: (person: any) => void,
 *   onRevoke: (person: any) => void, onRevokeOne: (person: any, way: any) => void}} Acts
 */

/** The list. */
export class People {
  #now = 0;
  #typing = 0;

  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
    this.list = new PagedList({
      name: "people",
      limit: LIMIT,
      load: async (offset, limit) => {
        const wanted = new URLSearchParams({
          offset: String(offset), limit: String(limit), search: byId("people-search").value,
        });
        if (byId("people-role").value !== "") wanted.set("role", byId("people-role").value);
        const page = await send("GET", `/owner/labelers?${wanted}`);
        return { items: page.people, total: page.total };
      },
      idOf: (person) => person.labeler_id,
      // "2 min ago" grows old: each minute what is shown is another.
      keyOf: (person) => `${JSON.stringify(person)} ${Math.floor(this.#now / 60)}`,
      make: (person) => this.#make(person),
    });
    byId("people-search").addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.list.restart(), TYPING_MS);
    });
    byId("people-role").addEventListener("change", () => this.list.restart());
  }

  /** @param {number} now on the server's clock */
  async refresh(now) {
    this.#now = now;
    await this.list.refresh();
  }

  /** @param {any} person */
  #make(person) {
    const id = person.labeler_id;
    const roles = /** @type {Record<string, string>} */ (ROLES);
    const seen = person.last_used_at === null ? "not here since the run was started" : `last here ${ago(person.last_used_at, this.#now)}`;
    const button = (/** @type {string} */ text, /** @type {string} */ of, /** @type {() => void} */ act) =>
      element("button", { type: "button", class: "small quiet", "data-act": true, onclick: act },
        text, element("span", { class: "visually-hidden" }, ` ${of} ${id}`));
    return element("li", { class: "person" },
      element("div", { class: "who-it-is" },
        element("span", { class: "person-name" }, id),
        element("span", { class: "role" }, roles[person.role]),
        element("span", { class: "small" }, `${seen}, let in ${ago(person.let_in_at, this.#now)}`)),
      person.ways_in.length === 0
        ? element("p", { class: "small" }, "Nothing lets them in.")
        : element("details", {},
          element("summary", {}, counted(person.ways_in.length, "way"), " in",
            element("span", { class: "visually-hidden" }, ` for ${id}`)),
          element("ul", { class: "ways" }, ...person.ways_in.map((/** @type {any} */ way) => this.#way(person, way)))),
      element("div", { class: "acts" },
        button("New link", "for", () => this.acts.onLink(person)),
        button("Change role", "of", () => this.acts.onRole(person)),
        person.ways_in.length === 0 ? null : button("Revoke all", "of", () => this.acts.onRevoke(person))));
  }

  /**
   * @param {any} person
   * @param {any} way
   */
  #way(person, way) {
    const kinds = /** @type {Record<string, string>} */ (KINDS);
    const made = `made ${ago(way.made_at, this.#now)}${way.made_by === "" ? "" : ` by ${way.made_by}`}`;
    const used = way.kind === "link" ? "not opened"
      : way.last_used_at === null ? "not used since the run was started" : `used ${ago(way.last_used_at, this.#now)}`;
    return element("li", {},
      element("span", {}, kinds[way.kind]),
      element("span", { class: "small" }, `${made}, ${used}`),
      element("button", {
        type: "button", class: "small quiet", "data-act": true, onclick: () => this.acts.onRevokeOne(person, way),
      }, "Revoke", element("span", { class: "visually-hidden" }, ` this ${way.kind} of ${person.labeler_id}`)));
  }
}
