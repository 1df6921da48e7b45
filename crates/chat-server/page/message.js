/** How one message looks, and what its author and readers may do with it. */

import { isDeleted } from "../client/index.js";
import { ask } from "./dialogs.js";
import { authorName, avatar, el, icon } from "./dom.js";

/**
 * @typedef {import("../client/types.js").Message} Message
 *
 * @typedef {object} Actions
 * @property {string} me
 * @property {(message: Message, text: string) => void} edit
 * @property {(message: Message) => void} remove
 * @property {(message: Message, emoji: string, remove: boolean) => void} react
 * @property {() => void} finished editing, one way or the other
 */

const EMOJI = ["👍", "❤️", "😂", "🎉", "😮", "😢", "👀", "🙏"];

/** Messages of one author within this time stand together. */
const TOGETHER_MS = 5 * 60_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/**
 * Draws a message into its list item, anew whenever it or the one before it changes.
 *
 * @param {HTMLElement} item
 * @param {Message} message
 * @param {Message | undefined} previous
 * @param {Actions} actions
 */
export function drawMessage(item, message, previous, actions) {
  const isNewDay = !previous || day.format(previous.sent_at_ms) !== day.format(message.sent_at_ms);
  const follows = !isNewDay && previous.from === message.from && message.sent_at_ms - previous.sent_at_ms < TOGETHER_MS;
  const isMine = message.from === actions.me;
  item.className = ["message", follows && "follows", isMine && "own", isDeleted(message) && "deleted"].filter(Boolean).join(" ");
  Object.assign(item.dataset, { testid: "message", id: message.id, seq: message.seq, from: message.from });
  item.tabIndex = item.getAttribute("tabindex") === "0" ? 0 : -1;
  item.replaceChildren(
    ...(isNewDay ? [el("div", { class: "day", testid: "day" }, day.format(message.sent_at_ms))] : []),
    el("div", { class: "row" }, avatar(message.from), body(message, actions), ...toolbar(item, message, actions)),
  );
}

/**
 * @param {Message} message
 * @param {Actions} actions
 */
function body(message, actions) {
  const time = (/** @type {string} */ name) =>
    el("time", { class: name, datetime: new Date(message.sent_at_ms).toISOString(), title: full.format(message.sent_at_ms) }, clock.format(message.sent_at_ms));
  const text = isDeleted(message)
    ? el("p", { class: "text gone", testid: "text" }, "This message was deleted.")
    : el("p", { class: "text", testid: "text", dir: "auto" }, message.text ?? "");
  if (message.edited_at_ms && !isDeleted(message)) {
    text.append(" ", el("small", { class: "edited", testid: "edited", title: full.format(message.edited_at_ms) }, "(edited)"));
  }
  return el("div", { class: "body" }, el("div", { class: "by" }, authorName(message.from), time("at")), time("at-side"), text, reactions(message, actions));
}

/**
 * @param {Message} message
 * @param {Actions} actions
 */
function reactions(message, actions) {
  const all = Object.entries(message.reactions ?? {});
  if (all.length === 0) return null;
  const chips = all.map(([emoji, { count, users }]) => {
    const mine = users.includes(actions.me);
    const more = count > users.length ? ` and ${count - users.length} more` : "";
    return el(
      "button",
      {
        class: "chip",
        testid: "reaction",
        "data-emoji": emoji,
        "aria-pressed": String(mine),
        "aria-label": `${emoji} ${count}: ${users.join(", ")}${more}`,
        title: users.join(", ") + more,
        onclick: () => actions.react(message, emoji, mine),
      },
      el("span", { class: "emoji" }, emoji),
      el("span", { testid: "reaction-count" }, String(count)),
    );
  });
  return el("div", { class: "chips" }, ...chips);
}

/**
 * @param {HTMLElement} item
 * @param {Message} message
 * @param {Actions} actions
 * @returns {HTMLElement[]}
 */
function toolbar(item, message, actions) {
  if (isDeleted(message)) return [];
  const button = (/** @type {string} */ name, /** @type {string} */ label, /** @type {() => void} */ onclick) =>
    el("button", { class: "icon", testid: name, "aria-label": label, title: label, onclick }, icon(name));
  const bar = el("div", { class: "tools", testid: "tools" });
  const buttons = [button("react", "React", () => pick(bar, message, actions))];
  if (message.from === actions.me) {
    buttons.push(button("edit", "Edit", () => startEditing(item, message, actions)));
    buttons.push(button("delete", "Delete", () => confirmRemoval(message, actions)));
  }
  bar.append(...buttons);
  return [bar];
}

/**
 * The picker takes the place of the tools: it needs no room of its own and cannot be cut off.
 *
 * @param {HTMLElement} bar
 * @param {Message} message
 * @param {Actions} actions
 */
function pick(bar, message, actions) {
  const before = /** @type {HTMLElement[]} */ ([...bar.children]);
  const restore = () => bar.replaceChildren(...before);
  const choose = (/** @type {string} */ emoji) => {
    restore();
    const mine = message.reactions?.[emoji]?.users.includes(actions.me) ?? false;
    actions.react(message, emoji, mine);
  };
  const picks = EMOJI.map((emoji) =>
    el("button", { class: "icon emoji", testid: "pick", "data-emoji": emoji, "aria-label": `React with ${emoji}`, onclick: () => choose(emoji) }, emoji),
  );
  // The focus moves before its place goes: a bar without focus hides, and what is hidden takes none.
  bar.prepend(...picks);
  picks[0].focus();
  before.forEach((button) => button.remove());
  bar.addEventListener("focusout", (event) => !bar.contains(/** @type {Node} */ (event.relatedTarget)) && restore());
  bar.addEventListener("keydown", (event) => event.key === "Escape" && restore());
}

/**
 * @param {Message} message
 * @param {Actions} actions
 */
async function confirmRemoval(message, actions) {
  const answer = await ask({ title: "Delete this message?", text: "It disappears for everybody and cannot be brought back.", ok: "Delete" });
  if (answer !== null) actions.remove(message);
}

/**
 * @param {HTMLElement} item
 * @param {Message} message
 * @param {Actions} actions
 */
export function startEditing(item, message, actions) {
  const field = /** @type {HTMLTextAreaElement} */ (el("textarea", { class: "edit-text", testid: "edit-text", "aria-label": "Edit message", rows: "1" }));
  field.value = message.text ?? "";
  const stop = () => {
    delete item.dataset.editing;
    // The list draws it again, with whatever has changed meanwhile.
    item.dispatchEvent(new CustomEvent("redraw", { bubbles: true }));
    actions.finished();
  };
  const save = () => {
    const text = field.value.trim();
    if (text && text !== message.text) actions.edit(message, text);
    stop();
  };
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") stop();
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      save();
    }
    event.stopPropagation();
  });
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  field.addEventListener("input", fit);
  item.dataset.editing = "true";
  item.querySelector(".body")?.replaceChildren(
    field,
    el(
      "p",
      { class: "note" },
      el("button", { class: "link", testid: "edit-save", onclick: save }, "Save"),
      el("button", { class: "link", testid: "edit-cancel", onclick: stop }, "Cancel"),
    ),
  );
  item.querySelector(".tools")?.remove();
  fit();
  field.focus();
}
