/** Building elements. Text goes in as text nodes only: nothing that people write is ever parsed as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  return /** @type {T} */ (/** @type {unknown} */ (document.getElementById(id)));
}

/**
 * @param {string} tag
 * @param {Record<string, any>} [attributes] `on…` are listeners, `testid` is `data-testid`; what is
 *   null, undefined or false is left out
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name === "testid" ? "data-testid" : name, value === true ? "" : String(value));
  }
  element.append(.../** @type {(Node | string)[]} */ (children.filter((child) => child || child === "")));
  return element;
}

/** @param {string} name of a symbol in index.html */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * A circle with the first letter of a name, in a colour that belongs to the name.
 *
 * @param {string} name
 */
export function avatar(name) {
  const element = el("span", { class: "avatar", "aria-hidden": "true" });
  paintAvatar(element, name);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 */
export function paintAvatar(element, name) {
  element.textContent = name.replace(/^[^A-Za-z0-9]+/, "").charAt(0).toUpperCase() || "?";
  setHue(element, name);
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 */
function setHue(element, name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.charCodeAt(0)) >>> 0;
  element.style.setProperty("--hue", String((hash * 137) % 360));
}

/**
 * A name in the colour that belongs to it.
 *
 * @param {string} name
 */
export function authorName(name) {
  const element = el("strong", { class: "author", testid: "author" }, name);
  setHue(element, name);
  return element;
}
