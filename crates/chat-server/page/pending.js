/**
 * What this tab said and the room does not show yet.
 *
 * The answer to a send and the message itself come in either order, and the message does not carry
 * the key. So an unanswered one is hidden as soon as a message of ours with its text appears: the
 * eye never sees a double; the answer then says whether it was the one.
 *
 * @typedef {object} Pending
 * @property {string} key
 * @property {string} text
 * @property {"waiting" | "failed"} status
 * @property {string} error
 * @property {string | null} messageId known once answered
 * @property {number} seq of that message
 * @property {string | null} guess the message that probably is this one
 */

import { ChatError, newKey } from "../client/index.js";
import { authorName, avatar, el } from "./dom.js";
import { inWords } from "./status.js";

export class PendingList {
  /** @type {Pending[]} */
  #items = [];
  #client;
  #room;
  #changed;

  /**
   * @param {import("../client/client.js").ChatClient} client
   * @param {string} room
   * @param {() => void} changed
   */
  constructor(client, room, changed) {
    this.#client = client;
    this.#room = room;
    this.#changed = changed;
  }

  get items() {
    return this.#items;
  }

  /** How many are neither said nor given up. */
  get waiting() {
    return this.#items.filter((item) => item.status === "waiting" && item.messageId === null).length;
  }

  /** @param {string} text */
  say(text) {
    /** @type {Pending} */
    const item = { key: newKey(), text, status: "waiting", error: "", messageId: null, seq: 0, guess: null };
    this.#items.push(item);
    this.#transmit(item);
  }

  /** @param {Pending} item that failed; its key is kept, so trying again can never double it */
  retry(item) {
    item.status = "waiting";
    this.#transmit(item);
  }

  /** @param {Pending} item */
  discard(item) {
    this.#items = this.#items.filter((other) => other !== item);
    this.#changed();
  }

  /**
   * A message of ours is shown now.
   *
   * @param {import("../client/types.js").Message} message
   */
  seen(message) {
    if (this.#items.some((item) => item.messageId === message.id)) {
      this.#items = this.#items.filter((item) => item.messageId !== message.id);
    } else {
      const item = this.#items.find((other) => !other.messageId && !other.guess && other.text === message.text);
      if (item) item.guess = message.id;
    }
  }

  /** The room was drawn afresh: what was answered is in it, or above it. */
  forgetAnswered() {
    this.#items = this.#items.filter((item) => item.messageId === null);
  }

  /**
   * The room has come that far: what was answered below is in it, or above it and not shown any more.
   *
   * @param {number} seq of its newest message
   */
  reached(seq) {
    this.#items = this.#items.filter((item) => item.messageId === null || item.seq > seq);
  }

  /** @param {Pending} item */
  async #transmit(item) {
    this.#changed();
    try {
      const ok = await this.#client.send(this.#room, item.text, { key: item.key });
      Object.assign(item, { messageId: ok.message_id, seq: ok.seq });
      // Guessed wrong: the message that was seen belongs to another of the same text.
      if (item.guess !== ok.message_id) item.guess = null;
      else this.#items = this.#items.filter((other) => other !== item);
    } catch (error) {
      item.status = "failed";
      item.error = inWords(/** @type {ChatError} */ (error));
    }
    this.#changed();
  }
}

/**
 * @param {PendingList} pending
 * @param {(id: string) => boolean} isShown whether the room shows a message
 * @param {boolean} isOnline
 * @param {string | null} author shown above the first, where the message before is somebody else's
 * @returns {HTMLElement[]}
 */
export function drawPending(pending, isShown, isOnline, author) {
  const visible = pending.items.filter((item) => !isShown(item.messageId ?? item.guess ?? ""));
  return visible.map((item, index) => {
    const named = index === 0 && author;
    const failed = item.status === "failed";
    const words = failed ? `Not sent: ${item.error}` : isOnline ? "Sending…" : "Will be sent when the connection is back";
    return el(
      "li",
      { class: `message pending own ${item.status} ${named ? "" : "follows"}`, testid: "pending", "data-key": item.key, "data-status": item.status },
      el("div", { class: "row" }, avatar(author ?? " "), el(
        "div",
        { class: "body" },
        named && el("div", { class: "by" }, authorName(author)),
        el("p", { class: "text", testid: "pending-text" }, item.text),
        el(
          "p",
          { class: "note" },
          words,
          failed && el("button", { class: "link", testid: "pending-retry", onclick: () => pending.retry(item) }, "Try again"),
          failed && el("button", { class: "link", testid: "pending-discard", onclick: () => pending.discard(item) }, "Discard"),
        ),
      )),
    );
  });
}
