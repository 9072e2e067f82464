/** The labelers and how well they label. Rows stay in place as figures change under them. */

import { byId, element } from "../shared/dom.js";
import { count, counted } from "./format.js";
import { COLUMNS } from "./labeler_columns.js";
import { FLAGS, STATES } from "./labeler_states.js";
import { PagedList } from "./paged_list.js";
import { SortedBy } from "./sorting.js";

const LIMIT = 20;
const NOBODY = "Nobody labels yet. Add somebody, and send them the link.";
const NOBODY_SUCH = "No labeler is like that.";

/**
 * @typedef {{onAnswers: (row: any) => void, onExclude: (row: any) => void, onReinstate: (row: any) => void,
 *   onLink: (row: any) => void, onRevoke: (row: any) => void}} Acts
 */

/** The table: sorted by its headers, of whom the filters let through, a page at a time. */
export class LabelerTable {
  /** @type {Map<string, {tr: any, cells: any[], acts: any}>} */
  #rows = new Map();
  /** @type {Map<string, any>} */
  #labelers = new Map();
  /** @type {Map<string, any>} */
  #held = new Map();
  /** @type {Set<string>} */
  #active = new Set();
  #now = 0;
  /** @type {string[]} who is shown, on all pages, in order */
  #order = [];
  #isChosenAnew = true;

  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
    this.sorting = new SortedBy(COLUMNS, () => this.#choose());
    byId("labelers-head").prepend(...this.sorting.headers);
    this.list = new PagedList({
      name: "labelers",
      limit: LIMIT,
      everyMs: 0,
      load: async (offset, limit) => {
        this.#arrange();
        const page = this.#order.slice(offset, offset + limit);
        return { items: page.map((id) => this.#labelers.get(id)), total: this.#order.length };
      },
      idOf: (labeler) => labeler.labeler_id,
      make: (labeler) => this.#make(labeler),
      fill: (labeler) => this.#fill(labeler),
    });
    this.#setUpFilters();
    byId("labelers").addEventListener("mouseleave", () => this.list.refresh());
  }

  /** @param {any} overview */
  show(overview) {
    this.#labelers = new Map(overview.labelers.map((/** @type {any} */ labeler) => [labeler.labeler_id, labeler]));
    this.#held = new Map(overview.held.map((/** @type {any} */ holding) => [holding.labeler_id, holding]));
    this.#active = new Set(overview.active);
    this.#now = overview.at;
    const isEmpty = this.#labelers.size === 0;
    byId("no-labelers").textContent = isEmpty ? NOBODY : NOBODY_SUCH;
    byId("labelers-active").textContent = isEmpty ? ""
      : `${count(this.#active.size)} active now, of ${counted(this.#labelers.size, "labeler")}`;
    this.list.refresh();
  }

  #setUpFilters() {
    byId("labelers-state").append(...Object.entries(STATES).map(([state, { name }]) => element("option", { value: state }, name)));
    byId("labelers-flag").append(...Object.entries(FLAGS).map(([flag, name]) => element("option", { value: flag }, `⚑ ${name}`)));
    byId("labelers-search").addEventListener("input", () => this.#choose());
    for (const name of ["state", "flag", "only-active"]) {
      byId(`labelers-${name}`).addEventListener("change", () => this.#choose());
    }
  }

  /** Show what is chosen by now, from its first page on. */
  async #choose() {
    this.#isChosenAnew = true;
    await this.list.restart();
    byId("announcer").textContent = `${counted(this.#order.length, "labeler")} shown`;
  }

  /**
   * Bring the order up to date. Under the pointer rows neither move nor go: a click would meet
   * another's than it was meant for.
   */
  #arrange() {
    const wanted = this.sorting.sorted([...this.#labelers.values()].filter(this.#filter()));
    const ids = wanted.map((labeler) => labeler.labeler_id);
    const isKept = !this.#isChosenAnew && isPointedAt(byId("labelers"));
    const kept = new Set(isKept ? this.#order.filter((id) => this.#labelers.has(id)) : []);
    this.#order = [...kept, ...ids.filter((id) => !kept.has(id))];
    this.#isChosenAnew = false;
  }

  /** @returns {(labeler: any) => boolean} */
  #filter() {
    const search = byId("labelers-search").value.toLowerCase();
    const [state, flag] = [byId("labelers-state").value, byId("labelers-flag").value];
    const isOnlyActive = byId("labelers-only-active").checked;
    return (labeler) =>
      labeler.labeler_id.toLowerCase().includes(search)
      && (state === "" || labeler.state === state)
      && (flag === "" || isInQuestion(labeler, flag))
      && (!isOnlyActive || this.#active.has(labeler.labeler_id));
  }

  /** @param {any} labeler */
  #make(labeler) {
    const cells = COLUMNS.map((column, i) =>
      element(i === 0 ? "th" : "td", {
        role: i === 0 ? "rowheader" : "cell",
        scope: i === 0 ? "row" : null,
        "data-name": i === 0 ? "" : column.name,
        class: column.isNumber === true ? "number" : null,
      }));
    const acts = this.#makeActs(labeler.labeler_id);
    const tr = element("tr", { role: "row" }, ...cells, element("td", { role: "cell", "data-name": "" }, acts.box));
    this.#rows.set(labeler.labeler_id, { tr, cells, acts });
    this.#fill(labeler);
    return tr;
  }

  /** @param {string} id */
  #makeActs(id) {
    const button = (/** @type {string} */ text, /** @type {keyof Acts} */ act, /** @type {string} */ style) =>
      element("button", {
        type: "button",
        class: `small ${style}`,
        "data-act": act !== "onAnswers",
        onclick: () => this.acts[act](this.#labelers.get(id)),
      }, text, element("span", { class: "visually-hidden" }, ` ${id}`));
    const made = {
      answers: button("Answers", "onAnswers", "quiet"),
      exclude: button("Exclude", "onExclude", "danger"),
      reinstate: button("Reinstate", "onReinstate", ""),
      link: button("New link", "onLink", "quiet"),
      revoke: button("Revoke", "onRevoke", "quiet"),
    };
    const together = (/** @type {any[]} */ ...buttons) => element("span", { class: "together" }, ...buttons);
    const labels = together(made.answers, made.reinstate, made.exclude);
    return { ...made, box: element("div", { class: "acts" }, labels, together(made.link, made.revoke)) };
  }

  /** @param {any} labeler */
  #fill(labeler) {
    const row = this.#rows.get(labeler.labeler_id);
    if (row === undefined) throw new Error(`${labeler.labeler_id} has no row`);
    const { tr, cells, acts } = row;
    tr.dataset.state = labeler.state;
    const decisions = STATES[labeler.state]?.decisions ?? [];
    acts.exclude.hidden = !decisions.includes("exclude");
    acts.reinstate.hidden = !decisions.includes("reinstate");
    const id = labeler.labeler_id;
    const beside = { holding: this.#held.get(id), isActive: this.#active.has(id), now: this.#now };
    COLUMNS.forEach(({ cell, flag }, i) => {
      fill(cells[i], cell(labeler, beside));
      if (flag !== undefined) cells[i].classList.toggle("flagged", labeler.flags.includes(flag));
    });
  }
}

/**
 * Say whether somebody has a flag, or is in doubt where that is asked.
 * @param {any} labeler
 * @param {string} flag "any" for whatever speaks against them, "doubt" for doubt alone
 */
function isInQuestion(labeler, flag) {
  if (flag === "doubt") return labeler.is_doubted;
  if (flag === "any") return labeler.is_doubted || labeler.flags.length > 0;
  return labeler.flags.includes(flag);
}

/**
 * Say whether a pointer that hovers is over an element; a finger hovers over nothing.
 * @param {Element} place
 */
function isPointedAt(place) {
  return matchMedia("(hover: hover)").matches && place.matches(":hover");
}

/**
 * Replace a cell's content where it would look different.
 * @param {any} cell
 * @param {HTMLElement} content
 */
function fill(cell, content) {
  if (!cell.firstElementChild?.isEqualNode(content)) cell.replaceChildren(content);
}
