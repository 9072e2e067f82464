/** The API as promises: an answer, a refusal, or nothing heard. */

import { meta } from "./dom.js";

const TIMEOUT_MS = 15_000;
/** What stands before every path where the browser is; "" for nothing. */
export const ROOT = meta("andon-root");

/** The server understood and said no. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {number} retryAfterS
   */
  constructor(status, message, retryAfterS) {
    super(message);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** No answer, or one that says to try again: whether the request took effect is not known. */
export class Unreachable extends Error {}

/**
 * Send a request; return the answer's body, null for 204.
 * @param {"GET" | "POST"} method
 * @param {string} path below /api/v1
 * @param {object} [body]
 * @param {number} [timeoutMs]
 * @returns {Promise<any>}
 */
export async function send(method, path, body, timeoutMs = TIMEOUT_MS) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-Andon-CSRF"] = meta("andon-csrf");
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const url = ROOT + (path.startsWith("/leave") ? path : `/api/v1${path}`);
  let response;
  let answer = null;
  try {
    response = await fetch(url, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
      cache: "no-store",
    });
    if (response.status !== 204) answer = await response.json();
  } catch (error) {
    throw new Unreachable(String(error));
  }
  if (response.ok) return answer;
  if (response.status >= 500) throw new Unreachable(answer?.message ?? String(response.status));
  const retryAfterS = Number(response.headers.get("Retry-After") ?? 1);
  throw new Refused(response.status, answer?.message ?? String(response.status), retryAfterS);
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

/** End the session and show the page that says so. */
export async function leave() {
  await send("POST", "/leave");
  location.assign(`${ROOT}/`);
}
