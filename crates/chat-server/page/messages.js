/**
 * The list of messages of the room that is shown: draws only what changed, keeps the reader's place,
 * and fetches older messages when he scrolls up.
 *
 * Invariant: the list items are the room's messages, in its order.
 */

import { byId, el } from "./dom.js";
import { drawMessage, startEditing } from "./message.js";

/** Messages kept in the page while the reader is at the end; `history` has the rest. */
export const KEPT_MAX = 500;
/** "At the end" forgives the last lines, so that a picture of the end is not lost by a pixel. */
const END_PX = 80;
const OLDER_PX = 240;

const scroller = byId("scroller");
const list = byId("messages");
const older = /** @type {HTMLButtonElement} */ (byId("load-older"));
const jump = byId("jump");

export class MessageList {
  /** @type {import("../client/room-state.js").RoomState | null} */
  #state = null;
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();
  #actions;
  #fetchOlder;
  #isLoading = false;
  #isAtEnd = true;
  #unseen = 0;

  /**
   * @param {import("./message.js").Actions} actions
   * @param {(room: string, before: number | undefined) => Promise<{messages: any[], more: boolean} | null>} fetchOlder
   */
  constructor(actions, fetchOlder) {
    this.#actions = actions;
    this.#fetchOlder = fetchOlder;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    older.addEventListener("click", () => void this.#loadOlder());
    jump.addEventListener("click", () => this.toEnd());
    list.addEventListener("redraw", (event) => this.#draw(/** @type {HTMLElement} */ (event.target).dataset.id ?? ""));
    list.addEventListener("keydown", (event) => this.#walk(event));
    // The end stays in view when the keyboard opens or the send box grows.
    new ResizeObserver(() => this.#isAtEnd && this.toEnd()).observe(scroller);
  }

  /** @param {import("../client/room-state.js").RoomState} state */
  show(state) {
    this.#state = state;
    this.#items.clear();
    list.setAttribute("aria-busy", "true");
    list.replaceChildren();
    this.#place(state.messages.map((message) => message.id));
    list.removeAttribute("aria-busy");
    this.#decorate();
    this.toEnd();
  }

  /** @param {import("../client/room-state.js").Change} change of the room that is shown */
  apply(change) {
    const state = this.#state;
    if (!state) return;
    if (change.all) return this.show(state);
    if (change.messages.size === 0) return;
    const added = [...change.messages].filter((id) => !this.#items.has(id));
    this.#place([...change.messages]);
    if (this.#isAtEnd) this.toEnd();
    else this.#unseen += added.filter((id) => state.message(id)?.from !== this.#actions.me).length;
    this.#decorate();
  }

  toEnd() {
    this.#isAtEnd = true;
    this.#unseen = 0;
    this.#state?.trim(KEPT_MAX).forEach((id) => this.#forget(id));
    this.#decorate();
    scroller.scrollTop = scroller.scrollHeight;
  }

  /** Opens the editor of the newest message of one's own. */
  editLast() {
    const mine = this.#state?.messages.findLast((message) => message.from === this.#actions.me && !message.deleted);
    const item = mine && this.#items.get(mine.id);
    if (item) startEditing(item, mine, this.#actions);
    item?.scrollIntoView({ block: "nearest" });
  }

  /**
   * Puts messages where they belong and draws them, and the ones behind them, whose heads may change.
   *
   * @param {string[]} ids
   */
  #place(ids) {
    const messages = /** @type {import("../client/room-state.js").RoomState} */ (this.#state).messages;
    const wanted = new Set(ids);
    /** @type {Element | null} */
    let next = null;
    for (let at = messages.length - 1; at >= 0 && wanted.size > 0; at--) {
      const { id } = messages[at];
      let item = this.#items.get(id);
      if (wanted.delete(id)) {
        if (!item) {
          item = el("li");
          this.#items.set(id, item);
          list.insertBefore(item, next);
        }
        this.#draw(id, at);
        if (messages[at + 1]) this.#draw(messages[at + 1].id, at + 1);
      }
      next = item ?? next;
    }
  }

  /**
   * @param {string} id
   * @param {number} [at]
   */
  #draw(id, at) {
    const messages = this.#state?.messages ?? [];
    const index = at ?? messages.findIndex((message) => message.id === id);
    const item = this.#items.get(id);
    if (!item || index < 0) return;
    // An edit under way is not torn from under its author's fingers, unless nothing is left to edit.
    if (item.dataset.editing && !messages[index].deleted) return;
    delete item.dataset.editing;
    const hadFocus = item.contains(document.activeElement);
    const active = /** @type {HTMLElement | null} */ (hadFocus ? document.activeElement : null);
    drawMessage(item, messages[index], messages[index - 1], this.#actions);
    if (!active || active === item) return;
    const { testid, emoji } = active.dataset;
    const again = item.querySelector(`[data-testid="${testid}"]${emoji ? `[data-emoji="${CSS.escape(emoji)}"]` : ""}`);
    /** @type {HTMLElement} */ (again ?? item).focus({ preventScroll: true });
  }

  /** @param {string} id */
  #forget(id) {
    this.#items.get(id)?.remove();
    this.#items.delete(id);
    const first = this.#state?.messages[0];
    if (first) this.#draw(first.id, 0);
  }

  #decorate() {
    const state = this.#state;
    older.hidden = !state?.hasOlder;
    older.disabled = this.#isLoading;
    older.textContent = this.#isLoading ? "Loading…" : "Load older messages";
    jump.hidden = this.#isAtEnd;
    byId("jump-text").textContent = this.#unseen > 0 ? `${this.#unseen} new` : "Latest messages";
    jump.classList.toggle("has-new", this.#unseen > 0);
    // One stop for the Tab key, the newest message; the arrows walk from there.
    if (!list.contains(document.activeElement)) this.#tabStop(/** @type {HTMLElement | null} */ (list.lastElementChild));
  }

  #scrolled() {
    const left = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    const wasAtEnd = this.#isAtEnd;
    this.#isAtEnd = left < END_PX;
    if (this.#isAtEnd) this.#unseen = 0;
    if (wasAtEnd !== this.#isAtEnd) this.#decorate();
    if (scroller.scrollTop < OLDER_PX && !this.#isAtEnd) void this.#loadOlder();
  }

  async #loadOlder() {
    const state = this.#state;
    if (!state?.hasOlder || this.#isLoading) return;
    this.#isLoading = true;
    this.#decorate();
    const before = state.messages[0]?.seq;
    const page = await this.#fetchOlder(state.room, before);
    this.#isLoading = false;
    // The reader may have gone to another room meanwhile.
    if (page && state === this.#state) {
      const fromEnd = scroller.scrollHeight - scroller.scrollTop;
      this.#place([...state.applyOlder(page, before).messages]);
      this.#decorate();
      scroller.scrollTop = scroller.scrollHeight - fromEnd;
    } else if (page) {
      state.applyOlder(page, before);
    }
    this.#decorate();
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const item = /** @type {HTMLElement} */ (event.target).closest("li");
    if (!item || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    const other = /** @type {HTMLElement | null} */ (event.key === "ArrowUp" ? item.previousElementSibling : item.nextElementSibling);
    if (!other) return;
    event.preventDefault();
    this.#tabStop(other);
    other.focus();
  }

  /** @param {HTMLElement | null} item */
  #tabStop(item) {
    list.querySelectorAll('li[tabindex="0"]').forEach((other) => other.setAttribute("tabindex", "-1"));
    item?.setAttribute("tabindex", "0");
  }
}
