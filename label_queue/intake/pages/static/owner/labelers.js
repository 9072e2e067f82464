/** The labelers and how well they label. Rows stay in place as figures change under them. */

import { byId, element, svg } from "../shared/dom.js";
import { UNKNOWN, ago, count, counted, decimal, percent } from "./format.js";

const STATES = { probation: "On probation", active: "Active", suspended: "Suspended", excluded: "Excluded", judge: "Judge" };
const FLAGS = { position: "position", speed: "speed", self: "self", gold: "gold", drift: "drift", rate: "too many requests" };
const BAR = 120;

/**
 * @typedef {{onAnswers: (row: any) => void, onExclude: (row: any) => void, onReinstate: (row: any) => void,
 *   onLink: (row: any) => void, onRevoke: (row: any) => void}} Acts
 */

/** The table. */
export class LabelerTable {
  /** @type {Map<string, {tr: any, cells: any[], acts: any, shown: any}>} */
  #rows = new Map();

  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
  }

  /**
   * @param {any[]} labelers
   * @param {any[]} held who holds tasks, and since when
   * @param {number} now
   */
  show(labelers, held, now) {
    const holdings = new Map(held.map((holding) => [holding.labeler_id, holding]));
    byId("no-labelers").hidden = labelers.length > 0;
    const body = byId("labelers");
    const present = new Set(labelers.map((row) => row.labeler_id));
    for (const [id, { tr }] of this.#rows) {
      if (present.has(id)) continue;
      tr.remove();
      this.#rows.delete(id);
    }
    labelers.forEach((labeler, i) => {
      const row = this.#rows.get(labeler.labeler_id) ?? this.#make(labeler);
      row.shown = labeler;
      this.#fill(row, labeler, holdings.get(labeler.labeler_id), now);
      // Moved only when it must be: moving takes the focus away.
      if (body.children[i] !== row.tr) body.insertBefore(row.tr, body.children[i] ?? null);
    });
  }

  /** @param {any} labeler */
  #make(labeler) {
    const names = ["", "Labels", "Gold accuracy", "Self", "Peers", "Position", "Too fast", "Share of weight", ""];
    const numbers = [1, 3, 4, 5, 6];
    const cells = names.map((name, i) =>
      element(i === 0 ? "th" : "td", {
        role: i === 0 ? "rowheader" : "cell",
        scope: i === 0 ? "row" : null,
        "data-name": name,
        class: numbers.includes(i) ? "number" : null,
      }));
    const acts = this.#makeActs(labeler.labeler_id);
    cells[8].append(acts.box);
    const tr = element("tr", { role: "row" }, ...cells);
    const row = { tr, cells, acts, shown: labeler };
    this.#rows.set(labeler.labeler_id, row);
    return row;
  }

  /** @param {string} id */
  #makeActs(id) {
    const button = (/** @type {string} */ text, /** @type {keyof Acts} */ act, /** @type {string} */ style) =>
      element("button", {
        type: "button",
        class: `small ${style}`,
        "data-act": act !== "onAnswers",
        onclick: () => this.acts[act](this.#rows.get(id)?.shown),
      }, text, element("span", { class: "visually-hidden" }, ` ${id}`));
    const made = {
      answers: button("Answers", "onAnswers", "quiet"),
      exclude: button("Exclude", "onExclude", "danger"),
      reinstate: button("Reinstate", "onReinstate", ""),
      link: button("New link", "onLink", "quiet"),
      revoke: button("Revoke", "onRevoke", "quiet"),
    };
    return { ...made, box: element("div", { class: "acts" }, made.answers, made.reinstate, made.exclude, made.link, made.revoke) };
  }

  /**
   * @param {any} row
   * @param {any} labeler
   * @param {any} holding
   * @param {number} now
   */
  #fill({ tr, cells, acts }, labeler, holding, now) {
    tr.dataset.state = labeler.state;
    const isOut = labeler.state === "excluded" || labeler.state === "suspended";
    acts.exclude.hidden = labeler.state === "excluded";
    acts.reinstate.hidden = !isOut;
    fill(cells[0], named(labeler, holding, now));
    const held = labeler.labels_held === 0 ? "" : `${count(labeler.labels_held)} held`;
    fill(cells[1], figure(count(labeler.labels), held));
    fill(cells[2], gold(labeler));
    fill(cells[3], share(labeler.self_agreement, labeler.self_repeats));
    fill(cells[4], share(labeler.peer_agreement, labeler.peer_labels));
    fill(cells[5], figure(labeler.position_z === null ? UNKNOWN : `z ${decimal(labeler.position_z, 1)}`));
    fill(cells[6], figure(percent(labeler.fast_share)));
    fill(cells[7], weight(labeler));
    for (const [i, flag] of [[3, "self"], [5, "position"], [6, "speed"]]) {
      cells[i].classList.toggle("flagged", labeler.flags.includes(flag));
    }
  }
}

/**
 * Replace a cell's content where it would look different.
 * @param {any} cell
 * @param {HTMLElement} content
 */
function fill(cell, content) {
  if (!cell.firstElementChild?.isEqualNode(content)) cell.replaceChildren(content);
}

/**
 * Return a figure, and below it what it rests on.
 * @param {string} value
 * @param {string} [base]
 */
function figure(value, base = "") {
  const below = base === "" ? null : element("span", { class: "base" }, base);
  return element("span", { class: "figure" }, element("span", {}, value), below);
}

/**
 * @param {number | null} part
 * @param {number} number
 */
function share(part, number) {
  return part === null ? figure(UNKNOWN) : figure(percent(part), `of ${count(number)}`);
}

/**
 * @param {any} labeler
 * @param {any} holding
 * @param {number} now
 */
function named(labeler, holding, now) {
  const states = /** @type {Record<string, string>} */ (STATES);
  const names = /** @type {Record<string, string>} */ (FLAGS);
  const from = labeler.excluded_from ? ` from label ${count(labeler.excluded_from)} on` : "";
  return element("div", { class: "named" },
    element("span", { class: "name" }, labeler.labeler_id),
    element("span", { class: "chips" },
      element("span", { class: "state", "data-state": labeler.state }, states[labeler.state] + from),
      ...labeler.flags.map((/** @type {string} */ flag) => element("span", { class: "flag" }, `⚑ ${names[flag] ?? flag}`)),
    ),
    element("span", { class: "last" }, `last label ${ago(labeler.last_label_at, now)}`),
    labeler.is_doubted ? element("span", { class: "last" }, "newest answers in doubt") : null,
    holding === undefined ? null : element("span", { class: holding.is_overdue ? "last overdue" : "last" },
      `holds ${counted(holding.num_tasks, "task")}, ${holding.num_tasks > 1 ? "one " : ""}given ${ago(holding.since, now)}`));
}

/**
 * Accuracy as a bar and its interval as a whisker; between the two ticks lies what a good labeler
 * and a random one would reach.
 * @param {any} labeler
 */
function gold(labeler) {
  const given = labeler.gold_right + labeler.gold_wrong;
  if (given === 0) return element("span", { class: "base" }, "no gold yet");
  const words = `${percent(labeler.gold_accuracy)}, between ${percent(labeler.gold_low)} and ${percent(labeler.gold_high)}`;
  const [low, high] = [labeler.gold_low * BAR, labeler.gold_high * BAR];
  const drawing = svg("svg", { class: "gold-bar", viewBox: `0 0 ${BAR} 18`, width: BAR, height: 18, role: "img", "aria-label": words },
    svg("rect", { class: "track", x: 0, y: 4, width: BAR, height: 10, rx: 3 }),
    svg("rect", { class: "reached", x: 0, y: 4, width: labeler.gold_accuracy * BAR, height: 10, rx: 3 }),
    svg("path", { class: "whisker", d: `M${low} 9H${high}M${low} 5V13M${high} 5V13` }));
  return element("div", { class: "gold" }, drawing,
    element("span", { class: "base" }, `${percent(labeler.gold_accuracy)} · ${labeler.gold_right} of ${counted(given, "gold task")}`));
}

/** @param {any} labeler */
function weight(labeler) {
  const drawing = svg("svg", { class: "weight-bar", viewBox: "0 0 60 10", width: 60, height: 10, "aria-hidden": "true" },
    svg("rect", { class: "track", x: 0, y: 2, width: 60, height: 6, rx: 3 }),
    svg("rect", { class: "reached", x: 0, y: 2, width: 60 * Math.min(1, labeler.weight_share), height: 6, rx: 3 }));
  const trust = labeler.reliability === null ? "" : `a ${decimal(labeler.reliability)}`;
  return element("div", { class: "weight" }, drawing, element("span", {}, percent(labeler.weight_share)),
    element("span", { class: "base", title: "Reliability a" }, trust));
}
