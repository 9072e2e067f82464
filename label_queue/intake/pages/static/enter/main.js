/** The page at a one-time link: how long somebody stays signed in. */

import { byId } from "../shared/dom.js";
import { lasting, say } from "../shared/words.js";

const stay = byId("stay");
stay.textContent = say("enter.stay", {
  at_most: lasting(Number(stay.dataset.atMostS)),
  unused: lasting(Number(stay.dataset.unusedS)),
});
stay.hidden = false;
