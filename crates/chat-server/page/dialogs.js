/** The one dialog of the page: asks for a name, or for a yes. */

import { byId } from "./dom.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} ok label of the button
 * @property {string} [value] present: the answer is a text that starts as this
 * @property {boolean} [secret] the answer is not shown, and may be long
 * @property {boolean} [required] cannot be dismissed
 * @property {string} [error] shown from the start
 * @property {(answer: string) => string | null} [check] what is wrong with an answer
 */

const dialog = /** @type {HTMLDialogElement} */ (/** @type {unknown} */ (byId("ask")));
const NAME_LENGTH_MAX = 200;
const SECRET_LENGTH_MAX = 8192;

const input = /** @type {HTMLInputElement} */ (byId("ask-input"));

/**
 * @param {Question} question
 * @returns {Promise<string | null>} the answer (empty for a plain yes), null if dismissed
 */
export function ask({ title, text, ok, value, secret = false, required = false, error = "", check = () => null }) {
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = text;
  byId("ask-ok").textContent = ok;
  byId("ask-error").textContent = error;
  byId("ask-cancel").hidden = required;
  input.hidden = value === undefined;
  input.type = secret ? "password" : "text";
  input.maxLength = secret ? SECRET_LENGTH_MAX : NAME_LENGTH_MAX;
  input.value = value ?? "";
  dialog.showModal();
  if (value !== undefined) input.select();
  return new Promise((resolve) => {
    const finish = (/** @type {string | null} */ answer) => {
      listening.abort();
      dialog.close();
      resolve(answer);
    };
    const listening = new AbortController();
    const { signal } = listening;
    byId("ask-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const answer = input.value.trim();
      const wrong = value === undefined ? null : check(answer);
      if (wrong === null) return finish(value === undefined ? "" : answer);
      byId("ask-error").textContent = wrong;
      input.focus();
    }, { signal });
    byId("ask-cancel").addEventListener("click", () => finish(null), { signal });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (!required) finish(null);
    }, { signal });
  });
}
