/** What the owner decides about who may come in. Each decision is kept in the ledger. */

import { send } from "../shared/api.js";
import { byId, element, meta } from "../shared/dom.js";
import { decide } from "./decision.js";
import { ROLES } from "./people.js";
import { UNDONE, offerUndo } from "./undo.js";

const MAY = {
  labeler: "Labeler: compares responses",
  observer: "Observer: sees this page, and does nothing",
  owner: "Owner: may do all that is done on this page, and label",
};
const JUDGE = "judge";
const MAY_AT_FIRST = {
  ...MAY,
  [JUDGE]: "Judge: a labeler of whom nothing is ever learned. This stays so",
};

/** @param {string} id @param {string} act */
export function labelerPath(id, act) {
  return `/owner/labelers/${encodeURIComponent(id)}/${act}`;
}

/**
 * Return a choice among roles.
 * @param {string} id
 * @param {Record<string, string>} roles
 * @param {string} chosen
 */
function roleField(id, roles, chosen) {
  return element("select", { id }, ...Object.entries(roles).map(([value, text]) =>
    element("option", { value, selected: value === chosen }, text)));
}

/**
 * Make decisions that show anew what they changed.
 * @param {() => Promise<void>} reload
 */
export function peopleActs(reload) {
  /** @param {string} what @param {(() => Promise<void>) | null} undo */
  const done = async (what, undo) => {
    offerUndo(what, undo === null ? null : async () => {
      await undo();
      await reload();
    });
    await reload();
  };

  /** @param {string} id @param {{role?: string, judges?: boolean}} as theirs as it is, unless it is said */
  const admit = async (id, as = {}) => {
    const admission = await send("POST", "/owner/labelers", { labeler_id: id, ...as });
    byId("admission-heading").textContent = `A link for ${admission.labeler_id}`;
    byId("admission-link").value = meta("andon-links-at") + admission.link;
    byId("admission-token").value = admission.token;
    byId("admission").showModal();
    byId("admission-link").select();
    await done(`A link for ${id} was made.`, async () => {
      for (const token of admission.token_ids) {
        await send("POST", labelerPath(id, `tokens/${encodeURIComponent(token)}/revoke`), { reason: UNDONE });
      }
    });
  };

  return {
    /** Add somebody. */
    add() {
      const name = element("input", {
        type: "text", id: "new-name", required: true, maxlength: 64, autocomplete: "off",
        pattern: "[A-Za-z0-9][A-Za-z0-9._@:+\\-]*", title: "Letters, digits and . _ @ : + -",
      });
      const role = roleField("new-role", MAY_AT_FIRST, "labeler");
      decide({
        heading: "Add a labeler",
        text: "They get a link that opens their page once.",
        confirm: "Make the link",
        needsReason: false,
        fields: [
          element("label", { for: "new-name" }, "Name"), name,
          element("label", { for: "new-role" }, "Role"), role,
        ],
        act: () => admit(name.value, role.value === JUDGE ? { role: "labeler", judges: true } : { role: role.value }),
      });
    },

    /** @param {any} who has a labeler_id */
    newLink({ labeler_id: id }) {
      decide({
        heading: `A new link for ${id}?`,
        text: "Sessions they have stay open.",
        confirm: "Make the link",
        needsReason: false,
        act: () => admit(id),
      });
    },

    /** @param {any} person */
    changeRole(person) {
      const [id, before] = [person.labeler_id, person.role];
      const role = roleField("next-role", MAY, before);
      decide({
        heading: `Change ${id}'s role?`,
        text: "It holds at once, by whatever they come. What they have labelled stays.",
        confirm: "Change the role",
        fields: [element("label", { for: "next-role" }, "Role"), role],
        act: async (reason) => {
          const changed = await send("POST", labelerPath(id, "role"), { role: role.value, reason });
          const roles = /** @type {Record<string, string>} */ (ROLES);
          await done(`${id}: ${roles[changed.role]} now.`, async () => {
            await send("POST", labelerPath(id, "role"), { role: before, reason: UNDONE });
          });
        },
      });
    },

    /** @param {any} who has a labeler_id */
    revoke({ labeler_id: id }) {
      decide({
        heading: `Revoke ${id}'s access?`,
        text: "All their links, sessions and tokens end at once. Their labels stay.",
        confirm: `Revoke ${id}`,
        isDangerous: true,
        act: async (reason) => {
          await send("POST", labelerPath(id, "revoke"), { reason });
          await done(`${id} can no longer come in. A new link lets them in again.`, null);
        },
      });
    },

    /** @param {any} person @param {any} way */
    revokeOne(person, way) {
      const id = person.labeler_id;
      decide({
        heading: `Revoke this ${way.kind} of ${id}?`,
        text: "It ends at once. Other ways in, and their labels, stay.",
        confirm: "Revoke it",
        isDangerous: true,
        act: async (reason) => {
          await send("POST", labelerPath(id, `tokens/${encodeURIComponent(way.token_id)}/revoke`), { reason });
          await done(`That ${way.kind} of ${id} lets nobody in any more.`, null);
        },
      });
    },
  };
}
