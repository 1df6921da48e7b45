/** The send box: what is being written, and telling the room that it is. */

import { TYPING_MS } from "../client/index.js";
import { byId } from "./dom.js";

/** Until the server says: the protocol's limit of a text. */
const TEXT_BYTES_MAX = 8192;
/** Typing is told again well before it ends by itself. */
const RENEW_MS = TYPING_MS / 2;

const field = /** @type {HTMLTextAreaElement} */ (byId("text"));
const encoder = new TextEncoder();

export class Composer {
  #client;
  #room;
  #toldAt = 0;
  #toldRoom = "";

  /**
   * @param {import("../client/client.js").ChatClient} client
   * @param {{room: () => string, say: (text: string) => void, editLast: () => void}} handlers
   */
  constructor(client, { room, say, editLast }) {
    this.#client = client;
    this.#room = room;
    const submit = () => {
      const text = field.value.trim();
      if (!text || this.#isTooLong()) return;
      this.text = "";
      this.#stopTyping();
      say(text);
    };
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
      field.focus();
    });
    field.addEventListener("input", () => {
      this.#fit();
      if (field.value.trim()) this.#tellTyping();
      else this.#stopTyping();
    });
    field.addEventListener("blur", () => this.#stopTyping());
    field.addEventListener("keydown", (event) => {
      // Enter also ends the choice of a character in an input method: that is not sending.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        submit();
      } else if (event.key === "ArrowUp" && field.value === "") {
        event.preventDefault();
        editLast();
      }
    });
  }

  get text() {
    return field.value;
  }

  set text(text) {
    field.value = text;
    this.#fit();
  }

  /** @param {string} name */
  address(name) {
    this.#stopTyping();
    field.placeholder = `Message #${name}`;
    field.setAttribute("aria-label", `Message to ${name}`);
  }

  /** A phone would open its keyboard over what the reader came for. */
  focus() {
    if (matchMedia("(hover: hover)").matches) field.focus();
  }

  get #max() {
    return this.#client.hello?.limits?.text_bytes ?? TEXT_BYTES_MAX;
  }

  #isTooLong() {
    return encoder.encode(field.value.trim()).length > this.#max;
  }

  #fit() {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    const left = this.#max - encoder.encode(field.value.trim()).length;
    const length = byId("length");
    length.textContent = left < 0 ? `Too long by ${-left} bytes` : left < this.#max / 10 ? `${left} bytes left` : "";
    length.classList.toggle("error", left < 0);
    /** @type {HTMLButtonElement} */ (byId("send")).disabled = left < 0 || !field.value.trim();
  }

  #tellTyping() {
    const now = Date.now();
    if (this.#toldRoom === this.#room() && now - this.#toldAt < RENEW_MS) return;
    this.#toldAt = now;
    this.#toldRoom = this.#room();
    this.#client.typing(this.#toldRoom, true);
  }

  #stopTyping() {
    if (this.#toldRoom) this.#client.typing(this.#toldRoom, false);
    this.#toldRoom = "";
  }
}
