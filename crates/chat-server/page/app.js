/**
 * The page: puts client, rooms and views together.
 *
 * Tests find their way by `data-testid`:
 * - `app` (`data-state`: idle, connecting, online, degraded, reconnecting, closed), `connection`,
 *   `connection-text`, `connection-countdown`, `retry-now`, `notices`, `notice`, `notice-action`, `notice-dismiss`
 * - `my-name`, `my-status`, `change-name`; `dialog`, `dialog-input`, `dialog-error`, `dialog-ok`, `dialog-cancel`
 * - `room-list`, `room` (`data-room`), `room-link`, `unread`, `mentions`, `leave-room`, `add-room`, `room-name`, `show-rooms`
 * - `messages`, `message` (`data-id`, `data-seq`, `data-from`), `author`, `text`, `edited`, `day`,
 *   `scroller`, `load-older`, `jump`, `empty`
 * - in a message (hover or focus it first): `tools`, `react`, `pick` (`data-emoji`), `reaction` (`data-emoji`, `aria-pressed`),
 *   `reaction-count`, `edit`, `edit-text`, `edit-save`, `edit-cancel`, `delete`
 * - `pending` (`data-key`, `data-status`: waiting, failed), `pending-text`, `pending-retry`, `pending-discard`
 * - `composer`, `text` (the text area), `send`, `length`, `typing`
 * - `people`, `person` (`data-user`), in it `status` (`data-status`), `person-status`; `people-count`, `people-more`, `show-people`
 */

import { ChatClient, isName, NAME_RULE } from "../client/index.js";
import { Composer } from "./composer.js";
import { ask } from "./dialogs.js";
import { byId, paintAvatar } from "./dom.js";
import { becomeAgain, friendlyName, identify, userOf } from "./identity.js";
import { MessageList } from "./messages.js";
import { closePanels, panels } from "./panels.js";
import { drawPending } from "./pending.js";
import { drawPeople, drawTyping } from "./people.js";
import { FIRST_ROOM, RoomList } from "./rooms.js";
import { ownStatus, Standings } from "./standings.js";
import { dismiss, inWords, notice, showConnection } from "./status.js";

/** @typedef {import("./rooms.js").OpenRoom} OpenRoom */

const OLDER_LIMIT = 50;
const checkName = (/** @type {string} */ name) => (isName(name) ? null : `A name has ${NAME_RULE}.`);

class App {
  #me;
  #token;
  #client;
  #rooms;
  #standings;
  #messages;
  #composer;

  /**
   * @param {string} me
   * @param {string} [token] that proves it
   */
  constructor(me, token) {
    this.#me = me;
    this.#token = token;
    const url = new URL("../ws", import.meta.url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const client = (this.#client = new ChatClient({ url: url.href, user: me, token }));
    this.#rooms = new RoomList(client, { onPending: (room) => this.#drawPending(room), onLeave: (id) => this.#left(id) });
    this.#standings = new Standings(client);
    const mine = { ...actions(client, me), finished: () => this.#composer.focus() };
    this.#messages = new MessageList(mine, (room, before) => older(client, room, before));
    this.#composer = new Composer(client, {
      room: () => this.#rooms.shown?.id ?? "",
      say: (text) => this.#say(text),
      editLast: () => this.#messages.editLast(),
    });
    this.#listenToClient();
    this.#listenToBrowser();
  }

  start() {
    showMe(this.#me, () => this.#becomeAnother());
    showConnection(this.#client);
    ownStatus(this.#client);
    this.#rooms.openRemembered();
    this.#show(roomInAddress(this.#rooms));
    this.#client.connect();
  }

  #listenToClient() {
    const client = this.#client;
    client.on("page", (page) => {
      const room = this.#rooms.find(page.room);
      if (!room) return;
      room.pending.forgetAnswered();
      this.#draw(room, room.state.applyPage(page));
    });
    client.on("joined", ({ room: id, result }) => {
      const room = this.#rooms.find(id);
      if (!room) return;
      room.told = result.read_seq ?? 0;
      room.unread.joined(result);
      this.#draw(room, room.state.applyJoined(result));
      this.#counted(room);
      void this.#askHowTheyAre(room);
    });
    client.on("event", (event) => {
      const { shown } = this.#rooms;
      if (this.#standings.apply(event) && shown) drawPeople(shown.state, this.#standings, this.#me);
      const room = this.#rooms.find(event.room);
      if (!room) return;
      if (event.event === "message_added" && event.message.from === this.#me) room.pending.seen(event.message);
      const isCounted = room.unread.follow(event, room.state.message(event.message_id), this.#me);
      if (event.event === "reset") room.told = 0;
      this.#draw(room, this.#rooms.apply(room, event));
      if (event.event === "room_removed") return this.#removed(room);
      if (isCounted) this.#counted(room);
    });
    client.on("problem", ({ error, room }) => this.#failed(error, room));
    client.on("state", ({ state, error }) => {
      if (this.#rooms.shown) this.#drawPending(this.#rooms.shown);
      if (state !== "closed" || !error) return dismiss("closed");
      // This server wants a token: another name would be refused as well.
      if (error.code === "unauthorized") return void prove(error.message);
      const action = this.#token ? "Enter another token" : "Choose another name";
      const onaction = () => this.#becomeAnother();
      notice(`Disconnected: ${error.message}.`, { key: "closed", stays: true, action, onaction });
    });
  }

  #becomeAnother() {
    void (this.#token ? prove() : rename(this.#me));
  }

  #listenToBrowser() {
    const rooms = this.#rooms;
    addEventListener("hashchange", () => this.#show(roomInAddress(rooms)));
    addEventListener("beforeunload", (event) => {
      // What waits for the connection would be lost with the page.
      if (rooms.all().some((room) => room.pending.waiting > 0)) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden || !rooms.shown) return;
      rooms.see(rooms.shown);
      rooms.draw();
      this.#drawTitle();
    });
    setInterval(() => {
      for (const room of rooms.all()) {
        if (room.state.expire(Date.now()) && room === rooms.shown) drawTyping(room.state, this.#me);
      }
    }, 1000);
  }

  /** @param {string} text */
  #say(text) {
    this.#rooms.shown?.pending.say(text);
    this.#messages.toEnd();
  }

  /** @param {string} id */
  #show(id) {
    const [rooms, composer] = [this.#rooms, this.#composer];
    if (rooms.shown) rooms.shown.draft = composer.text;
    const room = rooms.open(id);
    rooms.shown = room;
    rooms.see(room);
    byId("room-name").textContent = id;
    composer.address(id);
    composer.text = room.draft;
    this.#messages.show(room.state);
    this.#drawPending(room);
    drawPeople(room.state, this.#standings, this.#me);
    drawTyping(room.state, this.#me);
    rooms.draw();
    this.#drawTitle();
    closePanels();
    composer.focus();
    this.#messages.toEnd();
  }

  /** @param {string} id */
  #left(id) {
    if (this.#rooms.shown?.id !== id) return this.#rooms.draw();
    this.#rooms.shown = null;
    const next = this.#rooms.all()[0]?.id ?? FIRST_ROOM;
    history.replaceState(null, "", `#${encodeURIComponent(next)}`);
    this.#show(next);
  }

  /** @param {OpenRoom} room */
  async #askHowTheyAre(room) {
    const isKnown = await this.#standings.ask(room.state.occupants);
    if (isKnown && room === this.#rooms.shown) drawPeople(room.state, this.#standings, this.#me);
  }

  /** @param {OpenRoom} room */
  #counted(room) {
    if (room === this.#rooms.shown && !document.hidden) return this.#rooms.see(room);
    this.#rooms.draw();
    this.#drawTitle();
  }

  /** @param {OpenRoom} room that the user is no member of any more */
  #removed(room) {
    notice(`You are no longer a member of #${room.id}.`, { key: `room ${room.id}`, tone: "warning" });
    if (this.#rooms.all().length > 1) this.#rooms.close(room.id);
  }

  /**
   * @param {import("../client/errors.js").ChatError} error
   * @param {string} [room]
   */
  #failed(error, room) {
    if (!room) return notice(`The server reports: ${error.message}.`, { key: "problem" });
    notice(`#${room} cannot be joined: ${inWords(error)}.`, { key: `room ${room}` });
    if (this.#rooms.find(room) && this.#rooms.all().length > 1) this.#rooms.close(room);
  }

  /**
   * @param {OpenRoom} room
   * @param {import("../client/room-state.js").Change} change
   */
  #draw(room, change) {
    if (room !== this.#rooms.shown) return;
    if (change.all || change.messages.size > 0) {
      this.#messages.apply(change);
      this.#drawPending(room);
    }
    if (change.occupants) drawPeople(room.state, this.#standings, this.#me);
    if (change.typing) drawTyping(room.state, this.#me);
  }

  /** @param {OpenRoom} room */
  #drawPending(room) {
    room.pending.reached(room.state.messages.at(-1)?.seq ?? 0);
    if (room !== this.#rooms.shown) return;
    const isOnline = this.#client.state.state === "online";
    const isShown = (/** @type {string} */ id) => room.state.message(id) !== undefined;
    const author = room.state.messages.at(-1)?.from === this.#me ? null : this.#me;
    byId("pending").replaceChildren(...drawPending(room.pending, isShown, isOnline, author));
    const isEmpty = room.state.messages.length === 0 && room.pending.items.length === 0;
    byId("empty").hidden = !isEmpty || room.state.hasOlder;
    byId("empty").textContent = isOnline ? `Nobody has said anything in #${room.id} yet.` : "Messages appear here once you are connected.";
  }

  #drawTitle() {
    const { unread, shown } = this.#rooms;
    document.title = `${unread > 0 ? `(${unread}) ` : ""}#${shown?.id ?? ""} · Chat`;
  }
}

/**
 * The room that the address names; one that cannot be is said so, and the present one stays.
 *
 * @param {RoomList} rooms
 * @returns {string}
 */
function roomInAddress(rooms) {
  const stay = rooms.shown?.id ?? rooms.all()[0]?.id ?? FIRST_ROOM;
  let asked = location.hash.slice(1);
  try {
    asked = decodeURIComponent(asked);
  } catch {
    // Taken as it is, and refused below.
  }
  if (asked === "") return rooms.shown ? stay : rooms.find(FIRST_ROOM) ? FIRST_ROOM : stay;
  if (checkName(asked) === null) return asked;
  notice(`“${asked.slice(0, 60)}” cannot be a room. A room's name has ${NAME_RULE}.`, { key: "room name" });
  history.replaceState(null, "", `#${encodeURIComponent(stay)}`);
  return stay;
}

/**
 * @param {ChatClient} client
 * @param {string} me
 * @returns {Omit<import("./message.js").Actions, "finished">}
 */
function actions(client, me) {
  const said = (/** @type {string} */ what) => (/** @type {any} */ error) => notice(`${what}: ${inWords(error)}.`);
  return {
    me,
    edit: (message, text) => void client.edit(message.room, message.id, text).catch(said("The message was not changed")),
    remove: (message) => void client.delete(message.room, message.id).catch(said("The message was not deleted")),
    react: (message, emoji, remove) => void client.react(message.room, message.id, emoji, remove).catch(said("The reaction was not set")),
  };
}

/**
 * @param {ChatClient} client
 * @param {string} room
 * @param {number | undefined} before
 */
async function older(client, room, before) {
  try {
    return await client.history(room, { before, limit: OLDER_LIMIT });
  } catch (error) {
    notice(`Older messages could not be loaded: ${inWords(/** @type {any} */ (error))}.`, { key: "older", tone: "warning" });
    return null;
  }
}

/**
 * @param {string} me
 * @param {() => void} onchange
 */
function showMe(me, onchange) {
  byId("my-name").textContent = me;
  paintAvatar(byId("my-avatar"), me);
  byId("change-name").addEventListener("click", onchange);
}

/** @param {string} [error] why the server did not let this tab in */
async function prove(error) {
  const text = "This server lets in whoever has a token. This tab keeps yours until it is closed, and starts again with it.";
  const check = (/** @type {string} */ token) => (userOf(token) === null ? "That is no token: it says of nobody whom it is for." : null);
  const token = await ask({ title: "Your token", text, ok: "Come in", value: "", secret: true, error, check });
  if (token !== null) becomeAgain(userOf(token) ?? friendlyName(), token);
}

/** @param {string} me */
async function rename(me) {
  const name = await ask({ title: "Your name", text: "This tab's name. The page starts again with it.", ok: "Use this name", value: me, check: checkName });
  if (name !== null && name !== me) becomeAgain(name);
}

const { name, token, refused } = identify();
panels();
if (refused === null) {
  new App(name, token).start();
} else {
  const error = `“${refused.slice(0, 60)}” cannot be a name. A name has ${NAME_RULE}.`;
  const chosen = await ask({ title: "Choose a name", text: "How others see you in this tab.", ok: "Start", value: friendlyName(), required: true, error, check: checkName });
  becomeAgain(chosen ?? name);
}
