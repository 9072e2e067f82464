/** What a labeler can be, and what can speak against them: all that the page says of each. */

/** @typedef {"exclude" | "reinstate"} Decision */

/**
 * Each state: its name, and what can be decided about somebody who is in it. How its chip looks is in
 * owner.css, by `data-state`.
 * @type {Record<string, {name: string, decisions: Decision[]}>}
 */
export const STATES = {
  probation: { name: "On probation", decisions: ["exclude"] },
  active: { name: "Active", decisions: ["exclude"] },
  questioned: { name: "In question: decide", decisions: ["reinstate", "exclude"] },
  suspended: { name: "Suspended", decisions: ["reinstate", "exclude"] },
  excluded: { name: "Excluded", decisions: ["reinstate"] },
  judge: { name: "Judge", decisions: ["exclude"] },
};

/** @type {Record<string, string>} */
export const FLAGS = {
  position: "position", speed: "speed", self: "self", gold: "gold", drift: "drift", rate: "too many requests",
};
