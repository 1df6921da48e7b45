/** Names of rooms and users, and keys of commands. */

const NAME = /^[A-Za-z0-9\-_.:@]{1,128}$/;

/** The rule in words, for people. */
export const NAME_RULE = "1 to 128 characters: ASCII letters, digits and - _ . : @";

/**
 * @param {unknown} name
 * @returns {name is string}
 */
export function isName(name) {
  return typeof name === "string" && NAME.test(name);
}

/**
 * A key that no other command has: 128 random bits, so that no two devices of a user meet.
 *
 * @returns {string}
 */
export function newKey() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return "c-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
