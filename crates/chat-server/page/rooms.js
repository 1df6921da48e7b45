/** The rooms of this tab: which ones, what is in them, and the list on the left. */

import { isName, NAME_RULE, RoomState } from "../client/index.js";
import { ask } from "./dialogs.js";
import { byId, el, icon } from "./dom.js";
import { KEPT_MAX } from "./messages.js";
import { PendingList } from "./pending.js";
import { recall, remember } from "./storage.js";
import { Unread } from "./unread.js";

const KEY = "chat.rooms";
export const FIRST_ROOM = "general";
/** Rooms that are remembered, and joined at the next start. */
const REMEMBERED_MAX = 50;
/** What is read is said this long after it was seen: one command for all that comes meanwhile. */
const READ_AFTER_MS = 1_000;

/**
 * @typedef {object} OpenRoom
 * @property {string} id
 * @property {RoomState} state
 * @property {PendingList} pending
 * @property {Unread} unread what was not read, on any of the user's devices
 * @property {number} told the seq up to which the server knows that the user has read
 * @property {boolean} isReading it will be told in a moment
 * @property {string} draft
 */

export class RoomList {
  /** @type {Map<string, OpenRoom>} */
  #rooms = new Map();
  /** @type {OpenRoom | null} */
  shown = null;
  #client;
  #onPending;
  #onLeave;

  /**
   * @param {import("../client/client.js").ChatClient} client
   * @param {{onPending: (room: OpenRoom) => void, onLeave: (id: string) => void}} handlers
   */
  constructor(client, { onPending, onLeave }) {
    this.#client = client;
    this.#onPending = onPending;
    this.#onLeave = onLeave;
    byId("add-room").addEventListener("click", () => void this.#askForRoom());
  }

  /** @param {string | undefined} id */
  find(id) {
    return this.#rooms.get(id ?? "");
  }

  all() {
    return [...this.#rooms.values()];
  }

  get unread() {
    return this.all().reduce((sum, room) => sum + room.unread.unread, 0);
  }

  /** The rooms of the last time, or `general`. */
  openRemembered() {
    const names = remembered();
    for (const id of names.length > 0 ? names : [FIRST_ROOM]) this.open(id);
  }

  /**
   * @param {string} id
   * @returns {OpenRoom}
   */
  open(id) {
    let room = this.#rooms.get(id);
    if (!room) {
      const created = { id, state: new RoomState(id), unread: new Unread(), told: 0, isReading: false, draft: "", pending: new PendingList(this.#client, id, () => this.#onPending(created)) };
      room = created;
      this.#rooms.set(id, room);
      // A refusal comes as a `problem` as well, which names the room.
      this.#client.join(id).catch(() => {});
      this.#remember((names) => (names.includes(id) ? names : [...names, id]));
    }
    return room;
  }

  /**
   * Something happened in a room. One that nobody looks at keeps no more than the list would show:
   * a tab may be open for weeks.
   *
   * @param {OpenRoom} room
   * @param {import("../client/types.js").WireEvent} event
   * @returns {import("../client/room-state.js").Change}
   */
  apply(room, event) {
    const change = room.state.apply(event, Date.now());
    if (room !== this.shown) room.state.trim(KEPT_MAX);
    return change;
  }

  /**
   * The person sees the room: all in it is read, on his other devices too.
   *
   * @param {OpenRoom} room
   */
  see(room) {
    room.unread.readUpTo(room.state.messages.at(-1)?.seq ?? 0);
    if (room.isReading) return;
    room.isReading = true;
    setTimeout(() => {
      room.isReading = false;
      const seq = room.state.messages.at(-1)?.seq ?? 0;
      if (seq <= room.told || room !== this.shown || document.hidden) return;
      room.told = seq;
      // Whoever sees more says it again.
      this.#client.read(room.id, seq).catch(() => (room.told = 0));
    }, READ_AFTER_MS);
  }

  /** @param {string} id */
  close(id) {
    this.#rooms.delete(id);
    this.#client.leave(id).catch(() => {});
    this.#remember((names) => names.filter((name) => name !== id));
    this.#onLeave(id);
  }

  draw() {
    byId("room-list").replaceChildren(...this.all().map((room) => this.#drawRoom(room)));
  }

  /** @param {OpenRoom} room */
  #drawRoom(room) {
    const isShown = room === this.shown;
    const badges = el("span", { class: "badges" }, ...drawBadges(room.unread));
    const link = el("a", { href: `#${encodeURIComponent(room.id)}`, "aria-current": isShown && "page", testid: "room-link" }, el("span", { class: "room-title" }, room.id), badges);
    const leave = el("button", { class: "icon leave", testid: "leave-room", "aria-label": `Leave ${room.id}`, title: `Leave ${room.id}`, onclick: () => this.close(room.id) }, icon("close"));
    return el("li", { class: isShown ? "shown" : "", testid: "room", "data-room": room.id }, link, this.#rooms.size > 1 && leave);
  }

  /**
   * Changes what is remembered rather than replacing it: other tabs have rooms too.
   *
   * @param {(names: string[]) => string[]} change
   */
  #remember(change) {
    remember("localStorage", KEY, JSON.stringify(change(remembered()).slice(-REMEMBERED_MAX)));
  }

  async #askForRoom() {
    const answer = await ask({
      title: "Join a room",
      text: "A room that nobody has used yet comes into being.",
      ok: "Join",
      value: "",
      check: (name) => (isName(name) ? null : `A room's name has ${NAME_RULE}.`),
    });
    if (answer !== null) location.hash = `#${encodeURIComponent(answer)}`;
  }
}

/**
 * How much is unread, and apart how much of it mentions the user.
 *
 * @param {Unread} unread
 */
function drawBadges({ unread, mentions }) {
  const short = (/** @type {number} */ count) => (count > 99 ? "99+" : String(count));
  return [
    mentions > 0 && el("span", { class: "badge mentions", testid: "mentions", role: "img", "aria-label": `${mentions} that mention you` }, `@${short(mentions)}`),
    unread > 0 && el("span", { class: "badge", testid: "unread", role: "img", "aria-label": `${unread} unread` }, short(unread)),
  ];
}

/** @returns {string[]} */
function remembered() {
  try {
    const names = JSON.parse(recall("localStorage", KEY) ?? "[]");
    return Array.isArray(names) ? names.filter(isName).slice(0, REMEMBERED_MAX) : [];
  } catch {
    // Something else was written there.
    return [];
  }
}
