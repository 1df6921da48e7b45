/** Who this tab is: a name of its own, so that two tabs are two people. */

import { isName } from "../client/index.js";
import { recall, remember } from "./storage.js";

const KEY = "chat.name";
const FIRST = ["amber", "bold", "brave", "calm", "clever", "eager", "gentle", "happy", "jolly", "keen", "kind", "lucky", "merry", "quick", "quiet", "sunny", "swift", "warm", "witty", "young"];
const SECOND = ["badger", "bear", "crane", "dolphin", "falcon", "fox", "heron", "koala", "lark", "lynx", "marten", "otter", "owl", "panda", "puffin", "robin", "seal", "swan", "tiger", "wren"];

/** A name that is easy to say and seldom meets itself. */
export function friendlyName() {
  const [first, second, number] = crypto.getRandomValues(new Uint32Array(3));
  return `${FIRST[first % FIRST.length]}-${SECOND[second % SECOND.length]}-${10 + (number % 90)}`;
}

/**
 * The name in the address, else the tab's own, else a new one.
 *
 * @returns {{name: string, refused: string | null}} `refused`: what the address asked for and cannot be
 */
export function identify() {
  const asked = new URLSearchParams(location.search).get("user");
  if (asked !== null && !isName(asked)) return { name: friendlyName(), refused: asked };
  const kept = recall("sessionStorage", KEY);
  const name = asked ?? (isName(kept) ? kept : friendlyName());
  remember("sessionStorage", KEY, name);
  return { name, refused: null };
}

/**
 * Starts the page again as somebody else; the address would otherwise win over the new name.
 *
 * @param {string} name
 */
export function becomeAgain(name) {
  remember("sessionStorage", KEY, name);
  const url = new URL(location.href);
  url.searchParams.delete("user");
  history.replaceState(null, "", url);
  location.reload();
}
