/**
 * The browser's storage, which it may refuse: where somebody shut it, or where it is full. Then there is
 * nothing in it, and what is written says that it was not.
 */

/** @typedef {"browser" | "tab"} Place what keeps it */

/** @type {Record<Place, () => Storage>} */
const STORAGES = { browser: () => window.localStorage, tab: () => window.sessionStorage };

/**
 * @template T
 * @param {() => T} act
 * @param {T} otherwise
 * @returns {T}
 */
function unlessRefused(act, otherwise) {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return otherwise;
  }
}

/**
 * Return what is kept; null where nothing is.
 * @param {Place} place
 * @param {string} key
 */
export function read(place, key) {
  return unlessRefused(() => STORAGES[place]().getItem(key), null);
}

/**
 * Keep a text; return whether it was kept.
 * @param {Place} place
 * @param {string} key
 * @param {string} text
 */
export function write(place, key, text) {
  return unlessRefused(() => {
    STORAGES[place]().setItem(key, text);
    return true;
  }, false);
}

/**
 * Keep it no more.
 * @param {Place} place
 * @param {string} key
 */
export function remove(place, key) {
  unlessRefused(() => STORAGES[place]().removeItem(key), undefined);
}

/**
 * Return the keys that begin so.
 * @param {Place} place
 * @param {string} prefix
 * @returns {string[]}
 */
export function keysIn(place, prefix) {
  return unlessRefused(() => Object.keys(STORAGES[place]()).filter((key) => key.startsWith(prefix)), []);
}
