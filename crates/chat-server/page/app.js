/**
 * The page: puts client, rooms and views together.
 *
 * Tests find their way by `data-testid`:
 * - `app` (`data-state`: idle, connecting, online, degraded, reconnecting, closed), `connection`,
 *   `connection-text`, `connection-countdown`, `retry-now`, `notices`, `notice`, `notice-action`, `notice-dismiss`
 * - `my-name`, `change-name`; `dialog`, `dialog-input`, `dialog-error`, `dialog-ok`, `dialog-cancel`
 * - `room-list`, `room` (`data-room`), `room-link`, `unseen`, `leave-room`, `add-room`, `room-name`, `show-rooms`
 * - `messages`, `message` (`data-id`, `data-seq`, `data-from`), `author`, `text`, `edited`, `day`,
 *   `scroller`, `load-older`, `jump`, `empty`
 * - in a message (hover or focus it first): `tools`, `react`, `pick` (`data-emoji`), `reaction` (`data-emoji`, `aria-pressed`),
 *   `reaction-count`, `edit`, `edit-text`, `edit-save`, `edit-cancel`, `delete`
 * - `pending` (`data-key`, `data-status`: waiting, failed), `pending-text`, `pending-retry`, `pending-discard`
 * - `composer`, `text` (the text area), `send`, `length`, `typing`
 * - `people`, `person` (`data-user`), `people-count`, `people-more`, `show-people`
 */

import { ChatClient, isName, NAME_RULE } from "../client/index.js";
import { Composer } from "./composer.js";
import { ask } from "./dialogs.js";
import { byId, paintAvatar } from "./dom.js";
import { becomeAgain, friendlyName, identify } from "./identity.js";
import { MessageList } from "./messages.js";
import { drawPending } from "./pending.js";
import { drawPeople, drawTyping } from "./people.js";
import { FIRST_ROOM, RoomList } from "./rooms.js";
import { dismiss, inWords, notice, showConnection } from "./status.js";

/** @typedef {import("./rooms.js").OpenRoom} OpenRoom */

const OLDER_LIMIT = 50;
const checkName = (/** @type {string} */ name) => (isName(name) ? null : `A name has ${NAME_RULE}.`);

/** @param {string} me */
function start(me) {
  const url = new URL("../ws", import.meta.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const client = new ChatClient({ url: url.href, user: me });
  const rooms = new RoomList(client, { onPending: (room) => drawPendingOf(room), onLeave: (id) => leave(id) });
  const messages = new MessageList({ ...actions(client, me), finished: () => composer.focus() }, (room, before) => older(client, room, before));
  const composer = new Composer(client, {
    room: () => rooms.shown?.id ?? "",
    say: (text) => {
      rooms.shown?.pending.say(text);
      messages.toEnd();
    },
    editLast: () => messages.editLast(),
  });

  /** @param {OpenRoom} room */
  function drawPendingOf(room) {
    if (room !== rooms.shown) return;
    const isShown = (/** @type {string} */ id) => room.state.message(id) !== undefined;
    const author = room.state.messages.at(-1)?.from === me ? null : me;
    byId("pending").replaceChildren(...drawPending(room.pending, isShown, client.state.state === "online", author));
    drawEmpty(room);
  }

  /** @param {OpenRoom} room */
  function drawEmpty(room) {
    const isEmpty = room.state.messages.length === 0 && room.pending.items.length === 0;
    byId("empty").hidden = !isEmpty || room.state.hasOlder;
    byId("empty").textContent = client.state.state === "online" ? `Nobody has said anything in #${room.id} yet.` : "Messages appear here once you are connected.";
  }

  /** @param {string} id */
  function show(id) {
    if (rooms.shown) rooms.shown.draft = composer.text;
    const room = rooms.open(id);
    rooms.shown = room;
    room.unseen = 0;
    byId("room-name").textContent = id;
    composer.address(id);
    composer.text = room.draft;
    messages.show(room.state);
    drawPendingOf(room);
    drawPeople(room.state, me);
    drawTyping(room.state, me);
    rooms.draw();
    drawTitle();
    closePanels();
    composer.focus();
    messages.toEnd();
  }

  /** @param {string} id */
  function leave(id) {
    if (rooms.shown?.id !== id) return rooms.draw();
    rooms.shown = null;
    const next = rooms.all()[0]?.id ?? FIRST_ROOM;
    history.replaceState(null, "", `#${encodeURIComponent(next)}`);
    show(next);
  }

  function drawTitle() {
    const unseen = rooms.unseen;
    document.title = `${unseen > 0 ? `(${unseen}) ` : ""}#${rooms.shown?.id ?? ""} · Chat`;
  }

  /**
   * @param {OpenRoom} room
   * @param {import("../client/room-state.js").Change} change
   */
  function draw(room, change) {
    if (room !== rooms.shown) return;
    if (change.all || change.messages.size > 0) {
      messages.apply(change);
      drawPendingOf(room);
    }
    if (change.occupants) drawPeople(room.state, me);
    if (change.typing) drawTyping(room.state, me);
  }

  /**
   * @param {OpenRoom} room
   * @param {import("../client/types.js").Message} message
   */
  function heard(room, message) {
    if (message.from === me) return room.pending.seen(message);
    if (room === rooms.shown && !document.hidden) return;
    room.unseen++;
    rooms.draw();
    drawTitle();
  }

  client.on("page", (page) => {
    const room = rooms.find(page.room);
    if (!room) return;
    room.pending.forgetAnswered();
    draw(room, room.state.applyPage(page));
  });
  client.on("joined", ({ room: id, result }) => {
    const room = rooms.find(id);
    if (room) draw(room, room.state.applyJoined(result));
  });
  client.on("event", (event) => {
    const room = rooms.find(event.room);
    if (!room) return;
    if (event.event === "message_added") heard(room, event.message);
    draw(room, room.state.apply(event, Date.now()));
  });
  client.on("problem", ({ error, room }) => {
    if (!room) return notice(`The server reports: ${error.message}.`, { key: "problem" });
    notice(`#${room} cannot be joined: ${inWords(error)}.`, { key: `room ${room}` });
    if (rooms.find(room) && rooms.all().length > 1) rooms.close(room);
  });
  client.on("state", ({ state, error }) => {
    if (rooms.shown) drawPendingOf(rooms.shown);
    if (state !== "closed" || !error) return dismiss("closed");
    notice(`Disconnected: ${error.message}.`, { key: "closed", stays: true, action: "Choose another name", onaction: () => void rename(me) });
  });

  setInterval(() => {
    for (const room of rooms.all()) if (room.state.expire(Date.now()) && room === rooms.shown) drawTyping(room.state, me);
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !rooms.shown) return;
    rooms.shown.unseen = 0;
    rooms.draw();
    drawTitle();
  });
  addEventListener("beforeunload", (event) => {
    // What waits for the connection would be lost with the page.
    if (rooms.all().some((room) => room.pending.waiting > 0)) event.preventDefault();
  });
  addEventListener("hashchange", () => show(roomInAddress(rooms)));

  showMe(me);
  showConnection(client);
  rooms.openRemembered();
  show(roomInAddress(rooms));
  client.connect();
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

/** @param {string} me */
function showMe(me) {
  byId("my-name").textContent = me;
  paintAvatar(byId("my-avatar"), me);
  byId("change-name").addEventListener("click", () => void rename(me));
}

/** @param {string} me */
async function rename(me) {
  const name = await ask({ title: "Your name", text: "This tab's name. The page starts again with it.", ok: "Use this name", value: me, check: checkName });
  if (name !== null && name !== me) becomeAgain(name);
}

/** On a narrow screen the lists lie over the messages until one is needed. */
function panels() {
  const app = byId("app");
  const toggle = (/** @type {string} */ button, /** @type {string} */ panel) => {
    byId(button).addEventListener("click", () => {
      const open = app.dataset.panel !== panel;
      closePanels();
      if (open) app.dataset.panel = panel;
      byId(button).setAttribute("aria-expanded", String(open));
    });
  };
  toggle("show-rooms", "rooms");
  toggle("show-people", "people");
  byId("veil").addEventListener("click", closePanels);
  byId("hide-people").addEventListener("click", closePanels);
  addEventListener("keydown", (event) => event.key === "Escape" && closePanels());
}

function closePanels() {
  delete byId("app").dataset.panel;
  for (const button of ["show-rooms", "show-people"]) byId(button).setAttribute("aria-expanded", "false");
}

const { name, refused } = identify();
panels();
if (refused === null) {
  start(name);
} else {
  const error = `“${refused.slice(0, 60)}” cannot be a name. A name has ${NAME_RULE}.`;
  const chosen = await ask({ title: "Choose a name", text: "How others see you in this tab.", ok: "Start", value: friendlyName(), required: true, error, check: checkName });
  becomeAgain(chosen ?? name);
}
