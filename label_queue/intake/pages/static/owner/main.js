/** The owner's page: each overview that comes is shown by all its parts. */

import { leave } from "../shared/api.js";
import { byId } from "../shared/dom.js";
import * as acts from "./acts.js";
import { ScheduleChart } from "./chart.js";
import { showConnectors } from "./connectors.js";
import { showCord, write } from "./cord.js";
import { Disagreements } from "./disagreements.js";
import { LabelerTable } from "./labelers.js";
import { listen } from "./stream.js";
import { showTiles } from "./tiles.js";

const STATES = { live: "Live", reconnecting: "Reconnecting …", ended: "Your session has ended: open a new link" };

/** @type {any} */
let newest = null;
const chart = new ScheduleChart();
const table = new LabelerTable({
  onExclude: acts.exclude,
  onReinstate: acts.reinstate,
  onLink: acts.newLink,
  onRevoke: acts.revoke,
});
const disagreements = new Disagreements(acts.makeGold);

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
  table.show(overview.labelers, overview.held, overview.at);
  disagreements.show(overview.disagreements);
  byId("main").dataset.filled = "true";
}

/** @param {keyof typeof STATES} state */
function showState(state) {
  byId("live").dataset.state = state;
  write(byId("live"), STATES[state]);
}

byId("leave").addEventListener("click", leave);
byId("add").addEventListener("click", acts.addLabeler);
byId("pull").addEventListener("click", acts.pull);
byId("release").addEventListener("click", acts.release);
byId("rollback").addEventListener("click", () => acts.rollBack(newest.cord, newest.progress.policy_version));
acts.setUpCopying();
listen(show, showState);
