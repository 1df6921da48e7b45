/** Who is in the room that is shown, and who types there. */

import { avatar, byId, el } from "./dom.js";

/**
 * @param {import("../client/room-state.js").RoomState} state
 * @param {string} me
 */
export function drawPeople(state, me) {
  const names = [...state.occupants].sort((a, b) => Number(b === me) - Number(a === me));
  const items = names.map((name) =>
    el("li", { testid: "person", "data-user": name }, avatar(name), el("span", { class: "person-name" }, name), name === me && el("small", {}, "you")),
  );
  const more = state.occupantCount - names.length;
  if (more > 0) items.push(el("li", { class: "more", testid: "people-more" }, names.length > 0 ? `and ${more} more` : `${more} people`));
  byId("people-list").replaceChildren(...items);
  byId("people-count").textContent = String(state.occupantCount);
  byId("people-badge").textContent = String(state.occupantCount);
}

/**
 * @param {import("../client/room-state.js").RoomState} state
 * @param {string} me
 */
export function drawTyping(state, me) {
  // Another tab of one's own types too, but that is no news.
  const names = state.typists.filter((name) => name !== me);
  const words = () => {
    if (names.length === 0) return "";
    if (names.length === 1) return `${names[0]} is typing…`;
    return names.length === 2 ? `${names[0]} and ${names[1]} are typing…` : "Several people are typing…";
  };
  byId("typing").textContent = words();
}
