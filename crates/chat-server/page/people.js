/** Who is in the room that is shown, and who types there. */

import { avatar, byId, el } from "./dom.js";
import { statusDot, statusWords } from "./standings.js";

/**
 * @param {import("../client/room-state.js").RoomState} state
 * @param {import("./standings.js").Standings} standings
 * @param {string} me
 */
export function drawPeople(state, standings, me) {
  const names = [...state.occupants].sort((a, b) => Number(b === me) - Number(a === me));
  const items = names.map((name) => drawPerson(name, standings.of(name), name === me));
  const more = state.occupantCount - names.length;
  if (more > 0) items.push(el("li", { class: "more", testid: "people-more" }, names.length > 0 ? `and ${more} more` : `${more} people`));
  byId("people-list").replaceChildren(...items);
  byId("people-count").textContent = String(state.occupantCount);
  byId("people-badge").textContent = String(state.occupantCount);
}

/**
 * @param {string} name
 * @param {import("./standings.js").Standing} standing
 * @param {boolean} isMe
 */
function drawPerson(name, standing, isMe) {
  const words = statusWords(standing);
  const face = el("span", { class: "face" }, avatar(name), statusDot(standing));
  const said = words !== "" && el("small", { class: "person-status", testid: "person-status", title: words }, words);
  return el("li", { testid: "person", "data-user": name }, face, el("span", { class: "person-name" }, name), isMe && el("small", {}, "you"), said);
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
