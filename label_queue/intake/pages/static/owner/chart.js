/** Labels received against l(n) over time, as one SVG. */

import { byId, element, svg } from "../shared/dom.js";
import { count, duration } from "./format.js";

const NARROWEST = 280;
const HEIGHT = 240;
const LEFT = 48;
const RIGHT = 96;
const TOP = 14;
const PADDING = 16;
const BOTTOM = 28;
const LABEL_GAP = 16;

/** @typedef {{at: number, received: number, scheduled: number}} Point */

/** Draws the run so far, and what was seen since the server last went through all labels. */
export class ScheduleChart {
  constructor() {
    /** @type {Point[]} */
    this.points = [];
    this.total = 0;
    new ResizeObserver(() => this.draw()).observe(byId("chart"));
  }

  /** @param {any} overview */
  show(overview) {
    const { labels_received: received, labels_scheduled: scheduled } = overview.progress;
    this.points = [...overview.history, { at: overview.at, received, scheduled }];
    this.total = overview.progress.labels_total;
    this.draw();
  }

  /** Draw what is known, as wide as there is room. */
  draw() {
    if (this.total === 0) return;
    const width = Math.max(NARROWEST, byId("chart").clientWidth - 2 * PADDING);
    const last = this.points[this.points.length - 1];
    const first = this.points[0];
    const span = Math.max(60, last.at - first.at);
    const lowest = Math.min(first.received, first.scheduled);
    const highest = Math.max(...this.points.map((p) => Math.max(p.received, p.scheduled)));
    const floor = lowest > 0.6 * highest ? niceBelow(lowest - 0.2 * (highest - lowest) - 2) : 0;
    const steps = ticks(floor, Math.max(highest, floor + 4));
    const top = steps[steps.length - 1];
    const x = (/** @type {number} */ at) => LEFT + ((at - last.at + span) / span) * (width - LEFT - RIGHT);
    const y = (/** @type {number} */ n) => TOP + ((top - n) / (top - floor)) * (HEIGHT - TOP - BOTTOM);

    const difference = last.received - last.scheduled;
    const balance = difference >= 0 ? `${count(difference)} ahead` : `${count(-difference)} behind`;
    byId("chart-caption").textContent =
      `${count(last.received)} received, ${count(last.scheduled)} due by now: ${balance}. ${count(this.total)} are wanted in all.`;
    const drawing = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-labelledby": "chart-heading chart-caption" });
    for (const step of steps) {
      drawing.append(
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(step), y2: y(step) }),
        svg("text", { class: "tick", x: LEFT - 8, y: y(step) + 4, "text-anchor": "end" }, count(step)),
      );
    }
    drawing.append(
      svg("text", { class: "tick", x: LEFT, y: HEIGHT - 6 }, `${duration(span)} ago`),
      svg("text", { class: "tick", x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, "now"),
      svg("path", { class: "scheduled", d: pathOf(this.points, "scheduled", x, y) }),
      svg("path", { class: "received", d: pathOf(this.points, "received", x, y) }),
      svg("circle", { class: "dot due", cx: x(last.at), cy: y(last.scheduled), r: 3 }),
      svg("circle", { class: "dot", cx: x(last.at), cy: y(last.received), r: 4 }),
    );
    let [above, below] = [y(last.received) + 4, y(last.scheduled) + 4];
    if (Math.abs(above - below) < LABEL_GAP) {
      const middle = (above + below) / 2;
      const sign = difference >= 0 ? -1 : 1;
      [above, below] = [middle + (sign * LABEL_GAP) / 2, middle - (sign * LABEL_GAP) / 2];
    }
    drawing.append(
      svg("text", { class: "series received-name", x: width - RIGHT + 10, y: above }, "received"),
      svg("text", { class: "series scheduled-name", x: width - RIGHT + 10, y: below }, "due, l(n)"),
    );
    byId("chart").replaceChildren(drawing, element("figcaption", { class: "visually-hidden" }, byId("chart-caption").textContent));
  }
}

/**
 * @param {Point[]} points
 * @param {"received" | "scheduled"} name
 * @param {(at: number) => number} x
 * @param {(n: number) => number} y
 */
function pathOf(points, name, x, y) {
  return points.map((p, i) => `${i === 0 ? "M" : "L"}${x(p.at).toFixed(1)} ${y(p[name]).toFixed(1)}`).join("");
}

/** @param {number} value */
function niceBelow(value) {
  const size = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, value))) - 1);
  return Math.max(0, Math.floor(value / size) * size);
}

/**
 * Return a few round numbers from `floor` to at least `highest`.
 * @param {number} floor
 * @param {number} highest
 */
export function ticks(floor, highest) {
  const rough = (highest - floor) / 4;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((m) => m * size).find((s) => s >= rough) ?? size);
  const values = [];
  for (let value = floor; value < highest + step; value += step) values.push(value);
  return values;
}
