/** The labelling page: what each part says to the others. */

import { Refused, Unreachable, leave, pause, send } from "../shared/api.js";
import { byId, meta } from "../shared/dom.js";
import { listed, say } from "../shared/words.js";
import { Answer } from "./answer.js";
import { Attention } from "./attention.js";
import { askReason, setUpHelp, showHelp } from "./dialogs.js";
import { candidateOf, listen } from "./keyboard.js";
import { keepLeases } from "./lease.js";
import { Marks } from "./marks.js";
import { Kept, storageKey } from "./kept.js";
import { NotTaken } from "./not_taken.js";
import { Outbox } from "./outbox.js";
import { OwnProgress, showCord, showSaved } from "./own_progress.js";
import { whyNot } from "./refusals.js";
import { read, write } from "./storage.js";
import { TaskLine } from "./task_line.js";
import { TaskView } from "./task_view.js";
import { Unfinished } from "./unfinished.js";

const SECTIONS = ["loading", "waiting", "closed", "ended", "changed", "over", "task"];
const GUIDELINES_SEEN = `andon-guidelines:${meta("andon-run")}`;

/** How long an answer on its way is waited for by somebody who leaves, or would change it. */
const LAST_ANSWER_MS = 2_000;

const NOBODYS = new Answer({
  assignment_id: "", run_id: "", kind: "pair", prompt: { text: "", messages: [], language: "", node: null }, candidates: [],
});

const attention = new Attention();
/** @type {Answer | null} */
let answer = null;
/** The answer put aside while the last one is changed. @type {Answer | null} */
let putAside = null;
/** How many answers were given on this page. */
let numGiven = 0;
let isEnded = false;
/** Whether the page goes by what somebody does on it: another language is another page, in the same tab. */
let isGoingOn = false;

const unsentKept = new Kept("outbox");
const notTakenKept = new Kept("not-taken");
const notTaken = new NotTaken(notTakenKept, () => outbox.stuck, () => {
  outbox.forget();
  sayWhatIsKept();
});
const outbox = new Outbox(
  unsentKept,
  notTaken,
  (state) => {
    showSaved(state, outbox.pending.length);
    sayWhatIsKept();
    if (state.kind === "ended" || state.kind === "changed" || state.kind === "over") end(state.kind);
    if (state.kind === "saved") own.refresh();
  },
  (why) => complain("refused.answer", why),
);
const unfinished = new Unfinished(storageKey("unfinished"));
const line = new TaskLine({ isAnswered: (id) => outbox.holds(id), onEnd: end, onTrouble: sayNoneComes });
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

/** @param {string} name @param {{status: number, message: string}} error */
function complain(name, error) {
  byId("refused").hidden = false;
  byId("refused").dataset.about = name;
  byId("refused").replaceChildren(...whyNot(name, error));
}

/** @param {Unreachable | null} error null once some come again */
function sayNoneComes(error) {
  const isSaid = !byId("refused").hidden && byId("refused").dataset.about === "refused.task";
  // Said once, though it is tried again and again.
  if (error === null && isSaid) byId("refused").hidden = true;
  else if (error !== null && !isSaid) complain("refused.task", error);
}

/** @param {string} name */
function showSection(name) {
  for (const section of SECTIONS) byId(section).hidden = section !== name;
  byId("bar").hidden = name !== "task";
  if (name !== "task") byId(name).querySelector("h1")?.focus();
}

/** How many answers are kept that the run does not have. */
function keptCount() {
  return outbox.pending.length + notTaken.count;
}

/** Say how many answers will not be sent, and how long they are kept where that is not for long. */
function sayWhatIsKept() {
  notTaken.show();
  const lasting = new Set([unsentKept.lasting, notTakenKept.lasting]);
  const isOnPage = lasting.has("page");
  const isBrief = isOnPage || lasting.has("tab");
  byId("kept-briefly").hidden = !isBrief;
  byId("kept-briefly").textContent = isBrief ? say(isOnPage ? "kept.page" : "kept.tab") : "";
}

/** @param {import("./endings.js").Ending} ending */
function end(ending) {
  if (isEnded) return;
  isEnded = true;
  line.isOver = true;
  keepUnfinished();
  answer = null;
  marks.reset();
  showSection(ending);
}

function keepUnfinished() {
  unfinished.keep([answer, putAside], attention.activeMs);
}

/** @param {Answer} next */
function show(next) {
  answer = next;
  showSection("task");
  byId("revision-banner").hidden = next.revision === 0;
  byId("task").dataset.showing = `${next.task.assignment_id}:${next.revision}`;
  view.show(next.task);
  if (next.isUnfolded) view.unfold();
  marks.reset();
  attention.reset();
  announce(say(next.revision === 0 ? "news.task" : "news.last_answer"));
  update();
}

function update() {
  if (answer === null) return;
  view.update(answer);
  const folded = view.folded;
  answer.isUnfolded = folded.length === 0;
  const hint = folded.length > 0 ? say("hint.show_all", { what: listed(folded) }) : answer.lacks;
  byId("hint").textContent = hint;
  byId("confirm").setAttribute("aria-disabled", String(hint !== ""));
}

/** Show the first task of the line, or say that there is none. */
function turn() {
  if (isEnded) return;
  const first = line.tasks[0];
  if (putAside !== null || (answer !== null && answer.revision > 0)) return;
  if (first !== undefined) {
    if (answer?.task.assignment_id !== first.assignment_id) show(unfinished.answerTo(first));
    return;
  }
  answer = null;
  marks.reset();
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
  numGiven += 1;
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
    heading: say("skip.heading"),
    text: say("skip.text"),
    label: say("skip.label"),
    confirm: say("aside.skip"),
    isRequired: false,
    before: answer?.saidOf("skip").reason ?? null,
  });
  if (reason !== null) give({ outcome: "skip", reason });
}

async function report() {
  const reason = await askReason({
    heading: say("report.heading"),
    text: say("report.text"),
    label: say("report.label"),
    confirm: say("aside.report"),
    isRequired: true,
    before: answer?.saidOf("flag").reason ?? null,
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
  const givenBefore = numGiven;
  if (outbox.pending.length > 0) {
    announce(say("undo.still_saving"));
    await Promise.race([outbox.drain(), pause(LAST_ANSWER_MS)]);
    if (outbox.pending.length > 0) return;
  }
  const me = await own.refresh();
  // Whoever has gone on meanwhile, or says why they skip the task, would answer another one than they saw.
  if (numGiven !== givenBefore || document.querySelector("dialog[open]") !== null) return;
  if (me === null || me.last === null) {
    announce(say("undo.none"));
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
    heading: say("cord.pull"),
    text: say("cord.text"),
    label: say("cord.label"),
    confirm: say("cord.pull"),
    isRequired: true,
  });
  if (reason === null) return;
  try {
    showCord(await send("POST", "/cord", { reason }));
    announce(say("cord.is_pulled"));
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    complain("refused.cord", error);
  }
}

/** Leave, unless somebody who is told what stays in the browser thinks better of it. */
async function askToLeave() {
  // An answer that was given just now is most often saved in a moment.
  if (outbox.stuck.length === 0) await Promise.race([outbox.drain(), pause(LAST_ANSWER_MS)]);
  const count = keptCount();
  if (count > 0 && !window.confirm(say("leave.kept", { count }))) return;
  isGoingOn = true;
  await leave((error) => {
    isGoingOn = false;
    complain("refused.leave", error);
  });
}

function toggleGuidelines() {
  const panel = byId("guidelines");
  panel.hidden = !panel.hidden;
  byId("open-guidelines").setAttribute("aria-expanded", String(!panel.hidden));
  if (panel.hidden) write("browser", GUIDELINES_SEEN, "yes");
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

/** @param {string} key @param {KeyboardEvent} event */
function onKey(key, event) {
  if (isEnded) return false;
  if (marks.isOn && marks.onKey(key, event.shiftKey)) return true;
  if (event.repeat) return false;
  if ((key === "+" || key === "-") && answer !== null) {
    if (marks.markSelection(key === "+" ? "good" : "bad")) return true;
  }
  if (key === "Escape" && answer !== null && answer.revision > 0) {
    stopRevising();
    return true;
  }
  const command = ALWAYS[key] ?? (answer === null ? undefined : COMMANDS[key]);
  if (command !== undefined) {
    command();
    return true;
  }
  const index = candidateOf(key, event.shiftKey);
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
    leave: askToLeave,
    reload: () => { isGoingOn = true; location.reload(); },
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
// What another tab has answered is not asked here.
unsentKept.addEventListener("elsewhere", (/** @type {any} */ { detail }) => {
  if (detail !== null) line.drop(detail.answer.assignment_id);
});
for (const link of document.querySelectorAll(".languages a")) {
  link.addEventListener("click", (/** @type {any} */ { ctrlKey, metaKey, shiftKey }) => {
    isGoingOn = !(ctrlKey || metaKey || shiftKey);
  });
}
window.addEventListener("beforeunload", (event) => {
  const isLost = [unsentKept, notTakenKept].some((kept) => kept.lasting === "page");
  if (keptCount() > 0 && (isLost || !isGoingOn)) event.preventDefault();
});
window.addEventListener("pagehide", () => {
  if (!isEnded) keepUnfinished();
});
// Beside the task they are in nobody's way; where they would push it down they stay closed.
const opensAlone = byId("guidelines").dataset.opens === "yes" && matchMedia("(min-width: 1081px)").matches;
if (opensAlone && read("browser", GUIDELINES_SEEN) === null) {
  byId("guidelines").hidden = false;
  byId("open-guidelines").setAttribute("aria-expanded", "true");
}
sayWhatIsKept();
if (unfinished.revision !== null) show(unfinished.revision);
outbox.drain();
own.refresh();
line.run();
