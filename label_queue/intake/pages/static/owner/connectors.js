/** How it stands with the outside labelling tools; nothing where there are none. */

import { byId, element } from "../shared/dom.js";
import { duration } from "./format.js";

/**
 * @param {{name: string, state: string, last_sweep_at: number | null}[]} connectors
 * @param {number} now
 */
export function showConnectors(connectors, now) {
  byId("connectors-panel").hidden = connectors.length === 0;
  byId("connectors").replaceChildren(
    ...connectors.map(({ name, state, last_sweep_at: sweptAt }) =>
      element("li", { "data-failing": String(state.startsWith("failing")) },
        element("strong", {}, name),
        element("span", { class: "state" }, state),
        element("span", { class: "small" }, sweptAt === null ? "never read yet" : `read ${duration(now - sweptAt)} ago`),
      )),
  );
}
