/** Where a prompt stands in the tree of a long text: from the text down, part by part. */

import { element } from "./dom.js";
import { InertText } from "./inert_text.js";
import { say } from "./words.js";

/** Of so many parts each has a mark; more are too many to count by eye. */
const MOST_MARKS = 12;

/**
 * @typedef {{document_id: string, path: number[], siblings: number[], height: number,
 *   num_children: number}} TextNode
 */

/**
 * Return marks for a part and those beside it, which a screen reader passes over.
 * @param {number} part from 1
 * @param {number} of
 */
function marks(part, of) {
  if (of > MOST_MARKS) return null;
  const shown = "○".repeat(part - 1) + "●" + "○".repeat(of - part);
  return element("span", { class: "parts", "aria-hidden": "true" }, shown);
}

/**
 * Return the outline of where a node stands, and what its prompt is made of.
 * @param {TextNode} node
 * @returns {HTMLElement}
 */
export function outline(node) {
  const { document_id: name, path, siblings, height, num_children: count } = node;
  const text = element("li", {});
  new InertText(text, name, "");
  const steps = path.map((number, step) =>
    element("li", {}, marks(number, siblings[step]), say("node.part", { number, of: siblings[step] })),
  );
  [text, ...steps].at(-1).setAttribute("aria-current", "location");
  const what = height === 0 ? say("node.passage") : say("node.summaries", { count, height });
  return element(
    "div",
    { class: "node", role: "group", "aria-label": say("node.label") },
    element("ol", { class: "path" }, text, ...steps),
    element("p", {}, what),
  );
}
