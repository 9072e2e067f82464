/** The labelling page: what each part says to the others. */

import { Refused, Unreachable, leave, send } from "../shared/api.js";
import { byId, meta } from "../shared/dom.js";
import { Answer } from "./answer.js";
import { Attention } from "./attention.js";
import { askReason, setUpHelp, showHelp } from "./dialogs.js";
import { candidateOf, listen } from "./keyboard.js";
import { keepLeases } from "./lease.js";
import { Marks } from "./marks.js";
import { Outbox } from "./outbox.js";
import { OwnProgress, showCord, showSaved } from "./own_progress.js";
import { TaskLine } from "./task_line.js";
import { TaskView } from "./task_view.js";

const SECTIONS = ["loading", "waiting", "closed", "ended", "task"];
const GUIDELINES_SEEN = `andon-guidelines:${meta("andon-run")}`;

const NOBODYS = new Answer({
  assignment_id: "", run_id: "", kind: "pair", prompt: { text: "", messages: [] }, candidates: [],
});

const attention = new Attention();
/** @type {Answer | null} */
let answer = null;
/** The answer put aside while the last one is changed. @type {Answer | null} */
let putAside = null;
let isEnded = false;

const outbox = new Outbox(
  `andon-outbox:${meta("andon-run")}:${meta("andon-labeler")}`,
  (state) => {
    showSaved(state, outbox.pending.length);
    if (state.kind === "ended") end();
    if (state.kind === "saved") own.refresh();
  },
  (_submission, why) => {
    byId("refused").hidden = false;
    byId("refused").textContent = `An answer was not taken: ${why}`;
  },
);
const line = new TaskLine((id) => outbox.holds(id));
const own = new OwnProgress(end);
const view = new TaskView(
  (id) => choose(id),
  () => update(),
);
const marks = new Marks(() => view.cards, () => answer ?? NOBODYS, announce);

/** @param {string} message */
function announce(message) {
  byId("announcer").textContent = message;
}

/** @param {string} name */
function showSection(name) {
  for (const section of SECTIONS) byId(section).hidden = section !== name;
  byId("bar").hidden = name !== "task";
  if (name !== "task") byId(name).querySelector("h1")?.focus();
}

function end() {
  if (isEnded) return;
  isEnded = true;
  line.isOver = true;
  answer = null;
  showSection("ended");
}

/** @param {Answer} next */
function show(next) {
  answer = next;
  showSection("task");
  byId("revision-banner").hidden = next.revision === 0;
  byId("task").dataset.showing = `${next.task.assignment_id}:${next.revision}`;
  view.show(next.task);
  marks.reset();
  attention.reset();
  announce(next.revision === 0 ? "New task." : "Your last answer.");
  update();
}

function update() {
  if (answer === null) return;
  view.update(answer);
  const folded = view.folded;
  const hint = folded.length > 0 ? `Show all of ${folded.join(" and ")} first` : answer.lacks;
  byId("hint").textContent = hint;
  byId("confirm").setAttribute("aria-disabled", String(hint !== ""));
}

/** Show the first task of the line, or say that there is none. */
function turn() {
  if (isEnded) return;
  const first = line.tasks[0];
  if (putAside !== null || (answer !== null && answer.revision > 0)) return;
  if (first !== undefined) {
    if (answer?.task.assignment_id !== first.assignment_id) show(new Answer(first));
    return;
  }
  answer = null;
  showSection(line.isClosed ? "closed" : line.isDry ? "waiting" : "loading");
}

/** @param {string} id */
function choose(id) {
  answer?.choose(id);
  update();
}

/** @param {{outcome?: "skip" | "flag", reason?: string}} [aside] */
function give(aside) {
  if (answer === null) return;
  byId("refused").hidden = true;
  outbox.add(answer.submission(attention.activeMs, aside));
  if (answer.revision > 0) stopRevising();
  else line.next();
}

function confirm() {
  if (answer === null) return;
  const hint = byId("hint").textContent;
  if (hint === "") give();
  else announce(hint);
}

async function skip() {
  const reason = await askReason({
    heading: "Skip this task",
    text: "It goes to somebody else, and counts neither for nor against you.",
    label: "Why? (optional)",
    confirm: "Skip",
    isRequired: false,
  });
  if (reason !== null) give({ outcome: "skip", reason });
}

async function report() {
  const reason = await askReason({
    heading: "Report this task",
    text: "For something harmful, private or broken. The run's owner sees it.",
    label: "What is wrong?",
    confirm: "Report",
    isRequired: true,
  });
  if (reason !== null) give({ outcome: "flag", reason });
}

let isUndoing = false;

/** Change the last answer; a second press while the first is under way is none. */
async function undo() {
  if (isUndoing) return;
  isUndoing = true;
  try {
    await openLast();
  } finally {
    isUndoing = false;
  }
}

async function openLast() {
  if (answer !== null && answer.revision > 0) return;
  if (outbox.pending.length > 0) {
    announce("Your last answer is still being saved.");
    await new Promise((resolve) => outbox.addEventListener("drained", resolve, { once: true }));
  }
  const me = await own.refresh();
  if (me === null || me.last === null) {
    announce("There is no answer to change.");
    return;
  }
  if (answer !== null) answer.activeBeforeMs += attention.activeMs;
  putAside = answer;
  show(Answer.revising(me.last.task, me.last.submission));
}

function stopRevising() {
  const before = putAside;
  putAside = null;
  answer = null;
  if (before === null) turn();
  else show(before);
}

async function pullCord() {
  const reason = await askReason({
    heading: "Stop the line",
    text: "The model stops learning before its next step, until the run's owner lets it go on. "
      + "All answers are kept.",
    label: "What is wrong with the model?",
    confirm: "Stop the line",
    isRequired: true,
  });
  if (reason === null) return;
  try {
    showCord(await send("POST", "/cord", { reason }));
    announce("The line is stopped.");
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    byId("refused").hidden = false;
    byId("refused").textContent = `The line was not stopped: ${error.message}`;
  }
}

function toggleGuidelines() {
  const panel = byId("guidelines");
  panel.hidden = !panel.hidden;
  byId("open-guidelines").setAttribute("aria-expanded", String(!panel.hidden));
  if (panel.hidden) localStorage.setItem(GUIDELINES_SEEN, "yes");
  byId(panel.hidden ? "open-guidelines" : "guidelines-heading").focus();
}

/** @type {Record<string, () => void>} */
const COMMANDS = {
  Enter: confirm,
  t: () => { answer?.settle("tie"); update(); },
  b: () => { answer?.settle("both_bad"); update(); },
  Backspace: () => { answer?.takeBack(); update(); },
  "+": () => { answer?.strengthen(1); update(); },
  "=": () => { answer?.strengthen(1); update(); },
  "-": () => { answer?.strengthen(-1); update(); },
  a: () => view.unfold(),
  m: () => marks.toggle(),
  s: skip,
  r: report,
};
/** @type {Record<string, () => void>} These act with no task on the page too. */
const ALWAYS = { u: undo, g: toggleGuidelines, p: pullCord, "?": showHelp };

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (isEnded) return false;
  if (marks.isOn && marks.onKey(event)) return true;
  if (event.repeat) return false;
  if ((event.key === "+" || event.key === "-") && answer !== null) {
    if (marks.markSelection(event.key === "+" ? "good" : "bad")) return true;
  }
  if (event.key === "Escape" && answer !== null && answer.revision > 0) {
    stopRevising();
    return true;
  }
  const command = ALWAYS[event.key] ?? (answer === null ? undefined : COMMANDS[event.key]);
  if (command !== undefined) {
    command();
    return true;
  }
  const index = candidateOf(event);
  const card = answer === null || index === null ? undefined : view.cards[index];
  if (card === undefined) return false;
  choose(card.id);
  announce(card.button.textContent.trim());
  return true;
}

function setUpButtons() {
  /** @type {Record<string, () => void>} */
  const clicks = {
    confirm,
    tie: COMMANDS.t,
    "both-bad": COMMANDS.b,
    skip,
    report,
    mark: COMMANDS.m,
    leave,
    "cancel-revision": stopRevising,
    "open-help": showHelp,
    "open-cord": pullCord,
    "open-guidelines": toggleGuidelines,
    "close-guidelines": toggleGuidelines,
  };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", () => act());
  for (const button of document.querySelectorAll(".undo")) button.addEventListener("click", undo);
  byId("strength").addEventListener("change", (/** @type {any} */ event) => {
    if (answer !== null) answer.strength = Number(event.target.value);
  });
}

setUpButtons();
setUpHelp();
listen(onKey);
keepLeases(() => [...line.tasks, ...(answer === null ? [] : [answer.task])], (id) => line.drop(id), attention);
line.addEventListener("change", turn);
window.addEventListener("beforeunload", (event) => {
  if (outbox.pending.length > 0 && !isEnded) event.preventDefault();
});
// Beside the task they are in nobody's way; where they would push it down they stay closed.
const opensAlone = byId("guidelines").dataset.opens === "yes" && matchMedia("(min-width: 1081px)").matches;
if (opensAlone && localStorage.getItem(GUIDELINES_SEEN) === null) {
  byId("guidelines").hidden = false;
  byId("open-guidelines").setAttribute("aria-expanded", "true");
}
outbox.drain();
own.refresh();
line.run();
