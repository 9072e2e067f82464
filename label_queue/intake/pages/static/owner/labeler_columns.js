/** The columns of the table of labelers: what each is called, says and is sorted by. */

import { element, svg } from "../shared/dom.js";
import { UNKNOWN, ago, count, counted, decimal, percent } from "./format.js";
import { FLAGS, STATES } from "./labeler_states.js";

const BAR = 120;

/**
 * What is known of a labeler beside their own figures.
 * @typedef {{holding: any, isActive: boolean, now: number}} Beside
 */

/**
 * @typedef {object} LabelerColumn
 * @property {string} name
 * @property {string} [title] what the name does not say
 * @property {boolean} [isNumber]
 * @property {(labeler: any) => string | number | null} by what it is sorted by; null comes last
 * @property {import("./sorting.js").Direction} first how it is sorted at first: what matters most on top
 * @property {string} [flag] that makes its figure red
 * @property {(labeler: any, beside: Beside) => HTMLElement} cell
 */

/** @type {LabelerColumn[]} */
export const COLUMNS = [
  { name: "Labeler", by: (labeler) => labeler.labeler_id, first: "ascending", cell: named },
  { name: "Labels", isNumber: true, by: (labeler) => labeler.labels, first: "descending", cell: labels },
  {
    name: "Gold accuracy", title: "With its 95 % interval",
    by: (labeler) => (goldGiven(labeler) === 0 ? null : labeler.gold_accuracy), first: "ascending", cell: gold,
  },
  {
    name: "Self", title: "Agreement with their own earlier answers", isNumber: true, flag: "self",
    by: (labeler) => labeler.self_agreement, first: "ascending",
    cell: (labeler) => share(labeler.self_agreement, labeler.self_repeats),
  },
  {
    name: "Peers", title: "Agreement with others on the same queries", isNumber: true,
    by: (labeler) => labeler.peer_agreement, first: "ascending",
    cell: (labeler) => share(labeler.peer_agreement, labeler.peer_labels),
  },
  {
    name: "Position", title: "z of preferring the first places; sorted by how far it is from 0", isNumber: true,
    flag: "position", by: (labeler) => (labeler.position_z === null ? null : Math.abs(labeler.position_z)),
    first: "descending",
    cell: (labeler) => figure(labeler.position_z === null ? UNKNOWN : `z ${decimal(labeler.position_z, 1)}`),
  },
  {
    name: "Too fast", title: "Share of labels faster than the text can be read", isNumber: true, flag: "speed",
    by: (labeler) => labeler.fast_share, first: "descending", cell: (labeler) => figure(percent(labeler.fast_share)),
  },
  { name: "Share of weight", by: (labeler) => labeler.weight_share, first: "descending", cell: weight },
];

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
 * @param {Beside} beside
 */
function named(labeler, { holding, isActive, now }) {
  const from = labeler.excluded_from ? ` from label ${count(labeler.excluded_from)} on` : "";
  const state = STATES[labeler.state]?.name ?? labeler.state;
  return element("div", { class: "named" },
    element("span", { class: "who-it-is" },
      element("span", { class: "name" }, labeler.labeler_id),
      isActive ? element("span", { class: "now" }, "active now") : null),
    element("span", { class: "chips" },
      element("span", { class: "state", "data-state": labeler.state }, `${state}${from}`),
      ...labeler.flags.map((/** @type {string} */ flag) => element("span", { class: "flag" }, `⚑ ${FLAGS[flag] ?? flag}`))),
    element("span", { class: "last" }, `last label ${ago(labeler.last_label_at, now)}`),
    labeler.is_doubted ? element("span", { class: "last" }, "newest answers in doubt") : null,
    labeler.late_changes === 0 ? null : element("span", { class: "last", title: "After a reward was fitted to what they had said" },
      `${counted(labeler.late_changes, "answer")} changed late`),
    holding === undefined ? null : element("span", { class: holding.is_overdue ? "last overdue" : "last" },
      `holds ${counted(holding.num_tasks, "task")}, ${holding.num_tasks > 1 ? "one " : ""}given ${ago(holding.since, now)}`));
}

/** @param {any} labeler */
function labels(labeler) {
  return figure(count(labeler.labels), labeler.labels_held === 0 ? "" : `${count(labeler.labels_held)} held`);
}

/** @param {any} labeler */
function goldGiven(labeler) {
  return labeler.gold_right + labeler.gold_wrong;
}

/**
 * Accuracy as a bar and its interval as a whisker; between the two ticks lies what a good labeler
 * and a random one would reach.
 * @param {any} labeler
 */
function gold(labeler) {
  const given = goldGiven(labeler);
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
