/** What the owner can do about labels and the line, each as a decision. */

import { send } from "../shared/api.js";
import { element } from "../shared/dom.js";
import { decide } from "./decision.js";
import { count, percent } from "./format.js";
import { labelerPath } from "./people_acts.js";
import { UNDONE, offerUndo } from "./undo.js";

/** @type {Record<string, string>} */
const REINSTATED = {
  suspended: "They get tasks again, and the tests of their work start anew.",
  questioned: "Their newest labels count again, and the tests of their work start anew.",
};

/**
 * Return what an exclusion or reinstatement would change, in words.
 * @param {any} preview ExclusionPreview
 */
function changes(preview) {
  const rewards = preview.reward_versions;
  const rewardWords = rewards.length === 0 ? "none" : rewards.length > 6
    ? `${rewards.length}, from v${rewards[0]} to v${rewards[rewards.length - 1]}`
    : rewards.map((/** @type {number} */ version) => `v${version}`).join(", ");
  const policies = preview.policy_versions;
  const moved = [[preview.labels_leaving, "leave"], [preview.labels_returning, "come back"]]
    .filter(([number]) => number > 0).map(([number, verb]) => `${count(number)} ${verb}`);
  const lines = [
    ["Labels", moved.length === 0 ? "none" : moved.join(", ")],
    ["Weight in the present fit", percent(preview.weight_share)],
    ["Reward versions that learned from them", rewardWords],
    ["Policy versions trained on those", policies === null ? "none" : `v${policies[0]} to v${policies[1]}`],
    ["Next fit", preview.forces_refit ? "from scratch, at once" : "as planned: below 2 % of the weight"],
  ];
  return element("dl", { class: "changes" },
    ...lines.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/**
 * Say what was decided about somebody's labels, and offer to undo it.
 * @param {string} what
 * @param {string} id
 * @param {any} done ExclusionPreview
 */
function decided(what, id, done) {
  const undo = () => send("POST", labelerPath(id, "undo"), { act_id: done.undoable, reason: UNDONE });
  offerUndo(what, done.undoable === null ? null : undo);
}

/** @param {any} labeler LabelerRow */
export function exclude(labeler) {
  const id = labeler.labeler_id;
  // Of those in question what came before is not in doubt.
  const since = labeler.state === "questioned" ? labeler.held_from ?? 0 : 0;
  const from = element("input", { type: "number", id: "from-seq", min: 0, step: 1, value: since, required: true });
  decide({
    heading: `Exclude ${id}?`,
    text: "Their labels are left out of every fit from now on. Nothing is deleted, and you can take it back.",
    confirm: `Exclude ${id}`,
    isDangerous: true,
    fields: [
      element("label", { for: "from-seq" }, "From which label number on? 0 leaves out all of theirs."),
      from,
    ],
    preview: async () => changes(
      await send("GET", `${labelerPath(id, "exclusion")}?from_seq=${Math.max(0, from.valueAsNumber || 0)}`)),
    act: async (reason) => {
      const body = { from_seq: Math.max(0, from.valueAsNumber || 0), reason };
      decided(`${id} is excluded.`, id, await send("POST", labelerPath(id, "exclude"), body));
    },
  });
}

/** @param {any} labeler LabelerRow */
export function reinstate(labeler) {
  const id = labeler.labeler_id;
  decide({
    heading: `Reinstate ${id}?`,
    text: REINSTATED[labeler.state] ?? "Their labels count again from the next fit on.",
    confirm: `Reinstate ${id}`,
    preview: async () => changes(await send("GET", `${labelerPath(id, "exclusion")}?act=reinstate`)),
    act: async (reason) => {
      decided(`${id} is reinstated.`, id, await send("POST", labelerPath(id, "reinstate"), { reason }));
    },
  });
}

/** Stop the line. */
export function pull() {
  decide({
    heading: "Stop the line?",
    text: "The learner pauses before its next step. Rollouts and labels go on and are kept.",
    confirm: "Stop the line",
    isDangerous: true,
    act: (reason) => send("POST", "/owner/cord/pull", { reason }),
  });
}

/**
 * Take one reason away; with the last of them the line goes on.
 * @param {any} reason CordReason
 */
export function releaseOne(reason) {
  const who = reason.guard === "" ? reason.actor : `guard ${reason.guard}`;
  decide({
    heading: `Release the reason of ${who}?`,
    text: `“${reason.reason}” The line goes on when no reason is left.`,
    confirm: "Release it",
    act: (why) => send("POST", "/owner/cord/release", { reason: why, pull_id: reason.pull_id }),
  });
}

/**
 * Let the line go on: take its only reason away, by name, so that one that came meanwhile stays.
 * @param {any} reason CordReason
 */
export function release(reason) {
  decide({
    heading: "Let the line go on?",
    text: "The learner takes its next step.",
    confirm: "Let it go on",
    act: (why) => send("POST", "/owner/cord/release", { reason: why, pull_id: reason.pull_id }),
  });
}

/** @param {any} cord CordBody @param {number} policyVersion */
export function rollBack(cord, policyVersion) {
  const version = element("input", {
    type: "number", id: "to-version", min: 0, max: policyVersion, step: 1, required: true,
    value: cord.offered_rollback ?? "",
  });
  decide({
    heading: "Roll the policy back?",
    text: "Policy, critic, optimizer and KL coefficient of an earlier version come back as a new version; "
      + "rollouts made after it are cleared. The line stays stopped until you let it go on.",
    confirm: "Roll back",
    isDangerous: true,
    fields: [
      element("label", { for: "to-version" }, `To which policy version? It is v${count(policyVersion)} now.`),
      version,
    ],
    act: (reason) => send("POST", "/owner/rollback", { to_version: version.valueAsNumber, reason }),
  });
}
