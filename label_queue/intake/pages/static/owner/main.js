/** The owner's page: each overview that comes is shown by all its parts. */

import { leave } from "../shared/api.js";
import { byId } from "../shared/dom.js";
import * as acts from "./acts.js";
import { Answers } from "./answers.js";
import { ScheduleChart } from "./chart.js";
import { showConnectors } from "./connectors.js";
import { setUpCopying } from "./copying.js";
import { showCord, write } from "./cord.js";
import { Disagreements } from "./disagreements.js";
import { GoldLists } from "./gold.js";
import { goldActs } from "./gold_acts.js";
import { LabelerTable } from "./labelers.js";
import { Matrix } from "./matrix.js";
import { People } from "./people.js";
import { peopleActs } from "./people_acts.js";
import { listen } from "./stream.js";
import { showTiles } from "./tiles.js";
import { whyNot } from "./trouble.js";
import { offerUndo, setUpUndo } from "./undo.js";

const STATES = {
  live: "Live",
  reconnecting: "Reconnecting …",
  ended: "Your session has ended: open a new link",
  changed: "Your role was changed: reload the page",
};

/** @type {any} */
let newest = null;
const chart = new ScheduleChart();
const aboutPeople = peopleActs(() => people.list.reload());
const people = new People({
  onLink: aboutPeople.newLink,
  onRole: aboutPeople.changeRole,
  onRevoke: aboutPeople.revoke,
  onRevokeOne: aboutPeople.revokeOne,
});
const answers = new Answers();
const matrix = new Matrix();
const table = new LabelerTable({
  onAnswers: (labeler) => answers.open(labeler, newest.at),
  onExclude: acts.exclude,
  onReinstate: acts.reinstate,
  onLink: aboutPeople.newLink,
  onRevoke: aboutPeople.revoke,
});
const aboutGold = goldActs(() => gold.reload());
const gold = new GoldLists({
  onEdit: aboutGold.edit,
  onRetire: (each) => aboutGold.retire(each, gold.numAsked === 1),
  onBringBack: aboutGold.bringBack,
  onMake: aboutGold.makeOfAgreement,
});
const disagreements = new Disagreements(aboutGold.makeGold);

/** @param {any} overview */
function show(overview) {
  newest = overview;
  showCord(
    overview.cord, overview.at, overview.is_closed, overview.activity, overview.trouble,
    acts.releaseOne,
  );
  chart.show(overview);
  showTiles(overview.progress);
  showConnectors(overview.connectors, overview.at);
  table.show(overview);
  disagreements.show(overview.disagreements);
  matrix.refresh();
  people.refresh(overview.at);
  gold.refresh(overview.at);
  byId("main").dataset.filled = "true";
}

/** @param {keyof typeof STATES} state @param {string} [why] in the server's words */
function showState(state, why) {
  byId("live").dataset.state = state;
  write(byId("live"), why === undefined ? STATES[state] : `${STATES[state]} ${why}`);
}

/** @param {unknown} error why somebody who would leave is still signed in */
function sayStillHere(error) {
  offerUndo(`You are still signed in here. Try again to leave; if that does not help, reload the page first. Why: ${whyNot(error)}`, null);
}

byId("leave").addEventListener("click", () => leave(sayStillHere));
byId("add").addEventListener("click", aboutPeople.add);
byId("write-gold").addEventListener("click", () => aboutGold.write(gold.numCandidates));
byId("pull").addEventListener("click", acts.pull);
byId("release").addEventListener("click", () => acts.release(newest.cord.reasons[0]));
byId("rollback").addEventListener("click", () => acts.rollBack(newest.cord, newest.progress.policy_version));
setUpCopying();
setUpUndo();
listen(show, showState);
