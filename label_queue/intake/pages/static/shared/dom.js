/** Making elements without ever parsing markup. */

/**
 * Return the element of this id; the template has it.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Return a new element. Strings among the children become text, never markup.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null | EventListener>} [attributes]
 *   `onclick` and the like are listeners; true sets an empty attribute; false and null none.
 * @param {...(Node | string | null)} children
 * @returns {any}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * Return a new SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/**
 * Return a key as it is shown.
 * @param {string} key
 */
export function keycap(key) {
  return element("kbd", {}, key);
}

/**
 * Let an element have these children, in this order, without taking the focus from where somebody is.
 *
 * A child that stays is not moved unless it must be, since moving takes the focus away. Where the
 * child that has it goes, a button of what has its place gets it, else of what is before.
 * @param {Element} place
 * @param {Element[]} children
 * @param {HTMLElement} otherwise gets the focus where no such button is left
 */
export function arrange(place, children, otherwise) {
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  const focused = [...place.children].findIndex((child) => child.contains(active));
  const stay = new Set(children);
  for (const child of [...place.children]) if (!stay.has(child)) child.remove();
  children.forEach((child, i) => {
    if (place.children[i] !== child) place.insertBefore(child, place.children[i] ?? null);
  });
  if (focused === -1 || document.activeElement === active) return;
  if (place.contains(active)) {
    active?.focus({ preventScroll: true });
    return;
  }
  const near = [...children.slice(focused), ...children.slice(0, focused).reverse()];
  const buttons = near.map((child) => /** @type {HTMLElement | null} */ (child.querySelector("button:enabled")));
  (buttons.find((button) => button !== null) ?? otherwise).focus();
}

/**
 * Remove what was pressed; where it had the focus, what it made way for gets it.
 * @param {HTMLElement} pressed
 * @param {HTMLElement} next need not be anything that Tab reaches
 */
export function giveWay(pressed, next) {
  const hadFocus = pressed === document.activeElement;
  pressed.remove();
  if (hadFocus) giveFocus(next);
}

/**
 * Give something the focus that need not be anything that Tab reaches; nothing moves on the screen.
 * @param {HTMLElement} next
 */
export function giveFocus(next) {
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
}

/**
 * Return what the server wrote into a `<meta>` of this name.
 * @param {string} name
 * @returns {string}
 */
export function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}
