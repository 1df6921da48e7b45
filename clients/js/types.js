/**
 * The wire as this client reads it (docs/protocol.md is the authority). Types only, nothing to run.
 *
 * @typedef {object} Message
 * @property {string} id
 * @property {string} room
 * @property {number} seq
 * @property {string} from
 * @property {string} [text] absent from a deleted message
 * @property {number} sent_at_ms
 * @property {number} [edited_at_ms]
 * @property {boolean} [deleted]
 * @property {string} [reply_to]
 * @property {string[]} [mentions]
 * @property {Record<string, Reaction>} [reactions]
 * @property {Record<string, unknown>} [meta]
 * @property {number} [changed_seq]
 *
 * @typedef {object} Reaction
 * @property {number} count
 * @property {string[]} users the first 20
 *
 * @typedef {object} Sent
 * @property {string} message_id
 * @property {number} seq
 * @property {number} sent_at_ms
 * @property {string} stored `memory`, `redis` or `disk`
 * @property {boolean} duplicate an earlier attempt had arrived: this is its answer
 * @property {number} [remaining] how many more may be sent in the room now, if that is limited
 * @property {number} [reset_at_ms] when it will be more
 *
 * @typedef {object} Room
 * @property {string} id
 * @property {"open" | "private" | "direct"} kind
 * @property {string} [name]
 * @property {string} [topic]
 * @property {number} slow_mode_s
 * @property {number} created_at_ms
 * @property {number} version
 * @property {number} member_count
 *
 * @typedef {object} RoomAnswer
 * @property {Room} room
 * @property {"member" | "admin" | "owner"} [role] absent from who is no member (any more)
 *
 * @typedef {object} JoinResult
 * @property {Room} room
 * @property {string} position
 * @property {boolean} recovered
 * @property {boolean} [more]
 * @property {WireEvent[]} [entries]
 * @property {Message[]} [messages]
 * @property {{count: number, occupants: Occupant[]}} [occupants]
 * @property {number} [unread] messages by others above `read_seq`, up to 999
 * @property {number} [mentions] of these, those that mention the user
 * @property {number} [read_seq] how far the user has read
 * @property {Record<string, number>} [reads] how far everybody has, in a small room
 *
 * @typedef {object} Counts
 * @property {number} unread messages by others above the marker, up to 999
 * @property {number} mentions of these, those that mention the user
 *
 * @typedef {object} ListedRoom
 * @property {Room} room
 * @property {"owner" | "admin" | "member"} role
 * @property {number} unread
 * @property {number} mentions
 * @property {Message} [last_message]
 *
 * @typedef {object} Occupant
 * @property {string} user
 * @property {number} joined_at_ms
 *
 * @typedef {Record<string, any> & {event: string, room?: any, seq?: number, position?: string}} WireEvent `room` is its
 *   id; a `Room` in `room_added` and in a `room_updated` without `seq`
 *
 * @typedef {object} Page a fresh page: what was known of the room before is no longer reliable
 * @property {string} room
 * @property {Message[]} messages
 * @property {boolean} [more] older messages exist, where the server said so
 * @property {boolean} [merge] follows a `reset` event, after which everything known is newer
 *
 * @typedef {object} UserPresence
 * @property {"online" | "busy" | "away" | "offline"} status
 * @property {string} [text]
 * @property {string[]} devices
 * @property {number} [last_seen_at_ms] of somebody who is offline
 *
 * @typedef {object} State
 * @property {"idle" | "connecting" | "online" | "waiting" | "closed"} state
 * @property {number} [retryAtMs] with `waiting`
 * @property {import("./errors.js").ChatError} [error] with `closed`: why the client does not come back by itself
 *
 * @typedef {object} Options
 * @property {string} url `ws://…/ws`
 * @property {string} [user] for a server with development identities
 * @property {string | (() => string | Promise<string>)} [token] a function is asked before each connection, and again before what it gave ends
 * @property {string} [device]
 * @property {boolean} [notify]
 * @property {any} [WebSocket] constructor, where there is no global one (Node before 22)
 * @property {import("./connection.js").Clock} [clock]
 * @property {() => number} [random]
 */

export {};
