/**
 * Who this tab is: a name of its own, so that two tabs are two people; or whoever its token is for,
 * where the server wants one.
 */

import { isName } from "../client/index.js";
import { recall, remember } from "./storage.js";

const KEY = "chat.name";
const TOKEN_KEY = "chat.token";
const FIRST = ["amber", "bold", "brave", "calm", "clever", "eager", "gentle", "happy", "jolly", "keen", "kind", "lucky", "merry", "quick", "quiet", "sunny", "swift", "warm", "witty", "young"];
const SECOND = ["badger", "bear", "crane", "dolphin", "falcon", "fox", "heron", "koala", "lark", "lynx", "marten", "otter", "owl", "panda", "puffin", "robin", "seal", "swan", "tiger", "wren"];

/** A name that is easy to say and seldom meets itself. */
export function friendlyName() {
  const [first, second, number] = crypto.getRandomValues(new Uint32Array(3));
  return `${FIRST[first % FIRST.length]}-${SECOND[second % SECOND.length]}-${10 + (number % 90)}`;
}

/**
 * Whom a token is for. Read and not checked: that is for the server to do.
 *
 * @param {string} token
 * @returns {string | null}
 */
export function userOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return isName(claims.sub) ? claims.sub : null;
  } catch {
    return null;
  }
}

/**
 * Whoever the tab's token is for, else the name in the address, else the tab's own, else a new one.
 *
 * @returns {{name: string, token?: string, refused: string | null}} `refused`: what the address asked for and cannot be
 */
export function identify() {
  const token = recall("sessionStorage", TOKEN_KEY) ?? "";
  const user = userOf(token);
  if (user !== null) return { name: user, token, refused: null };
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
 * @param {string} [token] that proves it
 */
export function becomeAgain(name, token) {
  remember("sessionStorage", KEY, name);
  if (token !== undefined) remember("sessionStorage", TOKEN_KEY, token);
  const url = new URL(location.href);
  url.searchParams.delete("user");
  history.replaceState(null, "", url);
  location.reload();
}
