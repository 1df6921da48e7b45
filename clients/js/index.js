/**
 * JavaScript client of the chat server, for browsers and Node 20 and later: ES modules as they are.
 *
 * # Layout
 * - `client.js`: `ChatClient`, what an application holds
 * - `room-state.js`: `RoomState`, what a room looks like, from the client's events
 * - `connection.js`: one WebSocket · `reconnect.js`: when to come back · `refresher.js`: new tokens ·
 *   `joiner.js`, `rooms.js`: rooms and positions · `sender.js`, `outgoing.js`: commands that are seen through
 * - `errors.js`, `names.js`, `limits.js`, `emitter.js`, `types.js`
 */

export { ChatClient } from "./client.js";
export { ChatError } from "./errors.js";
export { isName, NAME_RULE, newKey } from "./names.js";
export { RoomState, isDeleted } from "./room-state.js";
export { TYPING_MS } from "./limits.js";
