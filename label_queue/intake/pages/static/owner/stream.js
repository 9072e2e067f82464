/** The overview as it comes, for as long as the page is open. */

import { ROOT, Refused, Unreachable, isShutOut, pause, probe } from "../shared/api.js";

const PATH = "/owner/stream";
const RETRY_MS = 3_000;

/** @typedef {"live" | "reconnecting" | "ended" | "changed"} StreamState */

/**
 * Listen for overviews; come back by itself when the connection breaks.
 * @param {(overview: any) => void} onOverview
 * @param {(state: StreamState, why?: string) => void} onState told in the server's words why it is so,
 *   where there are any
 */
export function listen(onOverview, onState) {
  const source = new EventSource(`${ROOT}/api/v1${PATH}`);
  source.addEventListener("open", () => onState("live"));
  source.addEventListener("overview", (event) => {
    onState("live");
    onOverview(JSON.parse(event.data));
  });
  const comeBack = async () => {
    if (await isWelcome(onState)) listen(onOverview, onState);
  };
  source.addEventListener("ended", () => {
    source.close();
    comeBack();
  });
  source.addEventListener("error", () => {
    // The browser comes back by itself, unless it was refused: then it says CLOSED, and not why.
    if (source.readyState === EventSource.CLOSED) comeBack();
    else onState("reconnecting");
  });
}

/**
 * Ask why the stream was closed, and wait for as long as it is worth while before another is opened.
 * @param {(state: StreamState, why?: string) => void} onState
 */
async function isWelcome(onState) {
  let waitMs = RETRY_MS;
  try {
    await probe(PATH);
    onState("reconnecting");
  } catch (error) {
    if (isShutOut(error)) {
      onState(error.status === 403 ? "changed" : "ended");
      return false;
    }
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    onState("reconnecting", error.status === 0 ? undefined : error.message);
    if (error instanceof Refused) waitMs = Math.max(waitMs, error.retryAfterS * 1000);
  }
  await pause(waitMs);
  return true;
}
