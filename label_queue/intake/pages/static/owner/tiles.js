/** The run's figures, one to a tile. */

import { byId, element } from "../shared/dom.js";
import { UNKNOWN, count, counted, decimal, duration, percent } from "./format.js";

/**
 * Return name, value and explanation of each tile.
 * @param {any} p Progress
 * @returns {[string, string, string][]}
 */
function figures(p) {
  const held = p.labels_held === 0 ? "none held back" : `${counted(p.labels_held, "label")} held back`;
  return [
    ["Rate", `${decimal(p.rate_per_min, p.rate_per_min < 10 ? 1 : 0)}`, `labels a minute; half of them within ${duration(p.label_latency_p50_s)} of the question`],
    ["Backlog", count(p.queries_outstanding), `asked for, not answered; ${held}`],
    ["Label to policy", duration(p.label_to_policy_p50_s), `median; 95 % within ${duration(p.label_to_policy_p95_s)}`],
    ["Coverage", percent(p.coverage), "of labels learned by the policy that labelers judge"],
    ["Agreement α", decimal(p.agreement_alpha), "Krippendorff, on shared queries"],
    ["Win rate", percent(p.winrate_recent), winRate(p)],
    ...judged(p),
    ["Policy", `v${count(p.policy_version)}`, counted(p.episodes, "episode")],
    ["Reward", p.reward_version === 0 ? UNKNOWN : `v${count(p.reward_version)}`, "the version that scores rollouts"],
  ];
}

/**
 * Say what a win rate rests on, and how sure it is.
 * @param {any} p Progress
 */
function winRate(p) {
  if (p.winrate_recent_labels === 0) return "of the policy against its start: nobody compared them yet";
  const bounds = `${percent(p.winrate_recent_low)} to ${percent(p.winrate_recent_high)}`;
  const newest = `in the newest ${counted(p.winrate_recent_labels, "comparison")}`;
  return `of the policy against its start ${newest}, surely ${bounds}; ${percent(p.winrate_vs_reference)} over the whole run`;
}

/**
 * Return what judges say of the policy, where there are any.
 * @param {any} p Progress
 * @returns {[string, string, string][]}
 */
function judged(p) {
  if (p.winrate_judges === null) return [];
  const bounds = `${percent(p.winrate_gap_low)} to ${percent(p.winrate_gap_high)}`;
  return [["By judges", percent(p.winrate_judges), `of the same; those who train say ${percent(p.winrate_gap)} more, surely ${bounds}`]];
}

/** @param {any} progress */
export function showTiles(progress) {
  byId("tiles").replaceChildren(
    ...figures(progress).map(([name, value, note]) =>
      element("dl", { class: "tile" },
        element("dt", {}, name),
        element("dd", { class: "value" }, value),
        element("dd", { class: "note" }, note),
      )),
  );
}
