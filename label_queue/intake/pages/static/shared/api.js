/** The API as promises: an answer, a refusal, or nothing heard. */

import { meta } from "./dom.js";

const TIMEOUT_MS = 15_000;
/** What stands before every path where the browser is; "" for nothing. */
export const ROOT = meta("andon-root");

/** What the API calls an error by where the run has ended. */
const ENDED = "QueueClosed";
/** What a proxy before the run may refuse for it, in no words of the API's; else such an answer is none. */
const ALSO_BY_PROXY = new Set([413, 429]);

/** The server understood and said no. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {number} retryAfterS
   * @param {string | null} field of the body, where that is why; null where it is who asks, and how
   */
  constructor(status, message, retryAfterS, field) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
    this.field = field;
  }
}

/** No answer, or one that says to try again: whether the request took effect is not known. */
export class Unreachable extends Error {
  /**
   * @param {string} message
   * @param {number} [status] 0 where there was no answer
   */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The run has ended: nothing took effect, and nothing will unless the run goes on one day. */
export class Over extends Unreachable {}

/**
 * Whether a request that only reads was refused for whom it came from: they have no session any
 * more (401), or another role (403).
 * @param {unknown} error
 * @returns {error is Refused}
 */
export function isShutOut(error) {
  return error instanceof Refused && (error.status === 401 || error.status === 403);
}

/**
 * Send a request; return the answer's body, null for 204.
 * @param {"GET" | "POST"} method
 * @param {string} path below /api/v1
 * @param {object} [body]
 * @param {number} [timeoutMs]
 * @returns {Promise<any>}
 */
export async function send(method, path, body, timeoutMs = TIMEOUT_MS) {
  const response = await reach(method, path, body, AbortSignal.timeout(timeoutMs));
  if (!response.ok) throw await failure(response);
  try {
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    throw new Unreachable(String(error));
  }
}

/**
 * Throw what a stream is refused with; of one that is not, nothing is read.
 * @param {string} path below /api/v1
 */
export async function probe(path) {
  const asking = new AbortController();
  const timer = setTimeout(() => asking.abort(), TIMEOUT_MS);
  try {
    const response = await reach("GET", path, undefined, asking.signal);
    if (!response.ok) throw await failure(response);
  } finally {
    clearTimeout(timer);
    asking.abort();
  }
}

/**
 * @param {"GET" | "POST"} method
 * @param {string} path
 * @param {object | undefined} body
 * @param {AbortSignal} signal
 */
async function reach(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-Andon-CSRF"] = meta("andon-csrf");
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const url = ROOT + (path.startsWith("/leave") ? path : `/api/v1${path}`);
  try {
    return await fetch(url, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    throw new Unreachable(String(error));
  }
}

/**
 * Return what an answer that is none says.
 * @param {Response} response
 */
async function failure(response) {
  const { status } = response;
  const answer = await response.json().catch(() => null);
  const message = answer?.message ?? `${status} ${response.statusText}`.trim();
  if (answer?.error === ENDED) return new Over(message, status);
  const isOfRun = answer !== null || ALSO_BY_PROXY.has(status);
  if (status >= 500 || status === 408 || !isOfRun) return new Unreachable(message, status);
  const retryAfterS = Number(response.headers.get("Retry-After") ?? 1) || 1;
  return new Refused(status, message, retryAfterS, answer?.field ?? null);
}

/**
 * Wait; return early when `wake` fires on `target`.
 * @param {number} ms
 * @param {EventTarget} [target]
 * @param {string} [wake]
 * @returns {Promise<void>}
 */
export function pause(ms, target = window, wake = "online") {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      target.removeEventListener(wake, done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    target.addEventListener(wake, done);
  });
}

/**
 * End the session and show the page that says so, as where it has ended already.
 * @param {(error: Refused | Unreachable) => void} onStay told why somebody is still signed in
 */
export async function leave(onStay) {
  try {
    await send("POST", "/leave");
  } catch (error) {
    if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
    if (error.status !== 401) {
      onStay(error);
      return;
    }
  }
  location.assign(`${ROOT}/`);
}
