/** Copying what is shown once. */

import { byId } from "../shared/dom.js";

/** Let the copy buttons copy. */
export function setUpCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const field = byId(/** @type {any} */ (button).dataset.copy);
      field.select();
      // The clipboard wants a secure context; where there is none the selected text is copied.
      if (navigator.clipboard) await navigator.clipboard.writeText(field.value);
      else document.execCommand("copy");
      button.textContent = "Copied";
    });
  }
  byId("admission").addEventListener("close", () => {
    byId("admission-link").value = byId("admission-token").value = "";
    for (const button of document.querySelectorAll("[data-copy]")) button.textContent = "Copy";
  });
}
