/** How present people are, as the server says: who is in a room and of whom nothing is said is online. */

import { byId, el } from "./dom.js";
import { recall, remember } from "./storage.js";

const KEY = "chat.status";
/** Users that one command asks for. */
const ASKED_MAX = 100;
/** People of whom it is remembered; the oldest go, and are asked for again when their room is joined. */
const KNOWN_MAX = 1_000;
const WORDS = /** @type {Record<string, string>} */ ({ online: "Online", away: "Away", busy: "Busy", offline: "Offline" });

/** @typedef {{status: string, text?: string}} Standing */

export class Standings {
  /** @type {Map<string, Standing>} */
  #known = new Map();
  #client;

  /** @param {import("../client/client.js").ChatClient} client */
  constructor(client) {
    this.#client = client;
  }

  /**
   * @param {string} user who is in a room
   * @returns {Standing}
   */
  of(user) {
    return this.#known.get(user) ?? { status: "online" };
  }

  /**
   * @param {import("../client/types.js").WireEvent} event
   * @returns {boolean} whether somebody is more or less present now
   */
  apply(event) {
    // Whoever comes is introduced if there is anything to say of him.
    if (event.event === "user_joined" && this.of(event.user).status === "offline") return this.#known.delete(event.user);
    if (event.event !== "presence") return false;
    this.#learn(event.user, event.status, event.text);
    return true;
  }

  /**
   * Asks how they are, who came before this tab did.
   *
   * @param {string[]} users
   * @returns {Promise<boolean>} whether it is known now
   */
  async ask(users) {
    if (users.length === 0) return false;
    try {
      const { users: standings } = await this.#client.users(users.slice(0, ASKED_MAX));
      for (const [user, { status, text }] of Object.entries(standings)) this.#learn(user, status, text);
      return true;
    } catch {
      // Without an answer everybody who is there is online, which is what most people are.
      return false;
    }
  }

  /**
   * @param {string} user
   * @param {string} status
   * @param {string} [text]
   */
  #learn(user, status, text) {
    this.#known.delete(user);
    // One of a newer version is shown as what it is most like.
    this.#known.set(user, { status: status in WORDS ? status : "online", text });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= KNOWN_MAX) break;
      this.#known.delete(oldest);
    }
  }
}

/**
 * A dot in the colour of a status, with its words for those who do not see colours.
 *
 * @param {Standing} standing
 */
export function statusDot({ status }) {
  const label = WORDS[status];
  return el("span", { class: "status", role: "img", testid: "status", "data-status": status, "aria-label": label, title: label });
}

/**
 * What is written beside a name: nothing of whoever is simply online.
 *
 * @param {Standing} standing
 */
export function statusWords({ status, text }) {
  if (status === "online") return text ?? "";
  return text ? `${WORDS[status]}: ${text}` : WORDS[status];
}

/**
 * The user's own choice, kept for this tab: the server forgets it with the connection.
 *
 * @param {import("../client/client.js").ChatClient} client
 */
export function ownStatus(client) {
  const select = /** @type {HTMLSelectElement} */ (byId("my-status"));
  const kept = recall("sessionStorage", KEY);
  if (kept === "away" || kept === "busy") select.value = kept;
  const say = () => client.presence(/** @type {"online" | "away" | "busy"} */ (select.value)).catch(() => {});
  select.addEventListener("change", () => {
    remember("sessionStorage", KEY, select.value);
    void say();
  });
  client.on("state", ({ state }) => {
    if (state === "online" && select.value !== "online") void say();
  });
}
