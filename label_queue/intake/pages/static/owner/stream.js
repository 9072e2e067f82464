/** The overview as it comes, for as long as the page is open. */

import { ROOT, Refused, Unreachable, pause, send } from "../shared/api.js";

const RETRY_MS = 3_000;

/**
 * Listen for overviews; come back by itself when the connection breaks.
 * @param {(overview: any) => void} onOverview
 * @param {(state: "live" | "reconnecting" | "ended") => void} onState
 */
export function listen(onOverview, onState) {
  const source = new EventSource(`${ROOT}/api/v1/owner/stream`);
  source.addEventListener("open", () => onState("live"));
  source.addEventListener("overview", (event) => {
    onState("live");
    onOverview(JSON.parse(event.data));
  });
  source.addEventListener("ended", () => {
    source.close();
    onState("ended");
  });
  source.addEventListener("error", async () => {
    onState("reconnecting");
    // The browser comes back by itself, unless it was refused: then it says CLOSED, and not why.
    if (source.readyState !== EventSource.CLOSED) return;
    try {
      await send("GET", "/owner/overview");
    } catch (error) {
      if (error instanceof Refused && [401, 403].includes(error.status)) {
        onState("ended");
        return;
      }
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    }
    await pause(RETRY_MS);
    listen(onOverview, onState);
  });
}
