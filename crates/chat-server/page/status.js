/** The state of the connection, in words, and what went wrong. */

import { byId, el, icon } from "./dom.js";

const NOTICES_MAX = 3;
/** Long enough to be read twice; what still holds (`stays`) does not go by itself. */
const NOTICE_MS = 15_000;

const PARTS = /** @type {Record<string, string>} */ ({
  broker_in: "messages from others may arrive late",
  broker_out: "sending may take longer",
  presence: "who is here may be out of date",
  store: "older messages may be unavailable",
});

/**
 * @param {import("../client/client.js").ChatClient} client
 */
export function showConnection(client) {
  const box = byId("connection");
  const words = byId("connection-text");
  const countdown = byId("connection-countdown");
  const retry = byId("retry-now");
  const draw = () => {
    const { state, retryAtMs = 0 } = client.state;
    const degraded = state === "online" && client.degraded.length > 0;
    const shown = degraded ? "degraded" : state === "waiting" ? "reconnecting" : state;
    box.dataset.state = byId("app").dataset.state = shown;
    const text = describe(shown);
    // Written only when it changes: a screen reader reads each writing aloud.
    if (words.textContent !== text) words.textContent = text;
    const seconds = Math.max(0, Math.ceil((retryAtMs - Date.now()) / 1000));
    countdown.textContent = state === "waiting" ? ` in ${seconds} s` : "";
    retry.hidden = state !== "waiting" && state !== "closed";
    box.title = degraded ? client.degraded.map((part) => PARTS[part] ?? part).join(", ") : "";
  };
  client.on("state", draw);
  client.on("event", (event) => {
    if (event.event !== "degraded") return;
    draw();
    showDegraded(event.parts ?? []);
  });
  client.on("state", () => showDegraded(client.degraded));
  retry.addEventListener("click", () => (client.state.state === "closed" ? client.connect() : client.retryNow()));
  addEventListener("online", () => client.retryNow());
  // In the background timers are slow, and a machine that slept has a connection that only looks like one.
  document.addEventListener("visibilitychange", () => !document.hidden && client.retryNow());
  setInterval(() => client.state.state === "waiting" && draw(), 250);
  draw();
}

/** @param {string} state */
function describe(state) {
  if (state === "reconnecting") return navigator.onLine ? "Reconnecting" : "No network, trying again";
  if (state === "closed") return "Disconnected";
  if (state === "degraded") return "Degraded";
  return state === "online" ? "Online" : "Connecting…";
}

/** @param {string[]} parts */
function showDegraded(parts) {
  dismiss("degraded");
  if (parts.length === 0) return;
  const words = parts.map((part) => PARTS[part] ?? part).join(", ");
  notice(`Part of the server is not well: ${words}.`, { key: "degraded", tone: "warning", stays: true });
}

/**
 * @param {string} text
 * @param {{key?: string, tone?: "error" | "warning", stays?: boolean, action?: string, onaction?: () => void}} [options] a
 *   notice takes the place of an older one with the same key
 */
export function notice(text, { key = text, tone = "error", stays = false, action, onaction } = {}) {
  dismiss(key);
  const box = el(
    "div",
    { class: `notice ${tone}`, testid: "notice", "data-key": key },
    el("span", {}, text),
    action && el("button", { class: "link", testid: "notice-action", onclick: onaction }, action),
    el("button", { class: "icon", "aria-label": "Dismiss", testid: "notice-dismiss", onclick: () => box.remove() }, icon("close")),
  );
  byId("notices").append(box);
  if (!stays) setTimeout(() => box.remove(), NOTICE_MS);
  while (byId("notices").children.length > NOTICES_MAX) byId("notices").firstElementChild?.remove();
}

/** @param {string} key */
export function dismiss(key) {
  for (const box of byId("notices").children) if (/** @type {HTMLElement} */ (box).dataset.key === key) box.remove();
}

/**
 * @param {{code?: string, message: string, retryAfterMs?: number}} error
 * @returns {string} for people
 */
export function inWords(error) {
  const words = /** @type {Record<string, string>} */ ({
    rate_limited: `too much at once, wait ${inTime(error.retryAfterMs ?? 0)}`,
    offline: "there is no connection at the moment",
    disconnected: "the connection was lost",
    timeout: "the server did not answer",
    unavailable: "the server cannot do this at the moment",
  });
  return words[error.code ?? ""] ?? error.message;
}

/** @param {number} ms */
function inTime(ms) {
  if (ms < 10_000) return "a moment";
  return ms < 120_000 ? `${Math.ceil(ms / 1000)} seconds` : `${Math.ceil(ms / 60_000)} minutes`;
}
