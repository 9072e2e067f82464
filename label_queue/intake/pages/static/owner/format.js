/** Numbers as people read them. A dash is shown where nothing is known yet. */

export const UNKNOWN = "–";
/** Between a number and its unit, where no line may break. */
const GAP = "\u00a0";

/** @param {number} value */
export function count(value) {
  return value.toLocaleString("en");
}

/**
 * @param {number | null} value
 * @param {number} [digits]
 */
export function decimal(value, digits = 2) {
  return value === null ? UNKNOWN : value.toFixed(digits).replace("-", "−");
}

/** @param {number | null} share in [0, 1] */
export function percent(share) {
  if (share === null) return UNKNOWN;
  const value = 100 * share;
  return `${value > 0 && value < 1 ? value.toFixed(1) : Math.round(value)}${GAP}%`;
}

/** @param {number | null} seconds */
export function duration(seconds) {
  if (seconds === null) return UNKNOWN;
  if (seconds < 10) return `${seconds.toFixed(1)}${GAP}s`;
  if (seconds < 120) return `${Math.round(seconds)}${GAP}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}${GAP}min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}${GAP}h`;
  return `${Math.round(seconds / 86_400)}${GAP}days`;
}

/**
 * Return how long ago something was.
 * @param {number | null} at
 * @param {number} now both on the server's clock
 */
export function ago(at, now) {
  if (at === null) return "never";
  return now - at < 10 ? "just now" : `${duration(now - at)} ago`;
}

/**
 * Return "1 label", "2 labels".
 * @param {number} n
 * @param {string} noun
 */
export function counted(n, noun) {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}
