/**
 * Every limit and wait of the client, each with its reason. Limits that the server announces in its
 * answer to `hello` replace the ones marked "until told".
 */

/** Largest frame that a server takes; a larger one would close the connection (close code 1009). */
export const FRAME_BYTES_MAX = 64 * 1024;

/** Room for resumed rooms in `hello`, leaving the rest of the frame to the token; others join after. */
export const HELLO_ROOMS_BYTES_MAX = 48 * 1024;

/** How long a key protects against doubles, until told. An older command is not retried unasked. */
export const KEY_WINDOW_MS = 60 * 60 * 1000;

/** Silence after which the client asks whether the server is there, until told. */
export const HEARTBEAT_MS = 25_000;

/** Wait for the answer to that question; a slow mobile network answers within a few seconds. */
export const PONG_WAIT_MS = 10_000;

/** Wait for an answer to a command; above the time in which a server says `unavailable` itself. */
export const ANSWER_WAIT_MS = 20_000;

/** Wait from the start of a connection to the answer to `hello`; the server closes after 10 s. */
export const CONNECT_WAIT_MS = 12_000;

/** Commands waiting for their outcome. A person never gets here; a loop stops here. */
export const PENDING_MAX = 256;

/** First step of the backoff: a restarted server is back within about a second. */
export const BACKOFF_BASE_MS = 500;

/** Longest wait between attempts, also to join after a fault of the server: a person looking at the page gives up then. */
export const BACKOFF_CAP_MS = 30_000;

/** Close code 4009 means that waiting less will not help. */
export const CROWDED_BASE_MS = 5_000;

/** A connection that lived this long proves that the server is well: the backoff starts again. */
export const STABLE_MS = 5_000;

/** Two losses within this time say that the client cannot take the backlog (close code 4008). */
export const SLOW_WINDOW_MS = 60_000;

/** What such a client waits before it joins without a position. */
export const SLOW_WAIT_MS = 10_000;

/** How long before its end a token is renewed: time for several attempts. */
export const REFRESH_AHEAD_MS = 30_000;

/** A token that ends sooner is left to end: the connection comes back with another one anyway. */
export const REFRESH_LEAST_MS = 1_000;

/** A timer that is set to more would go off at once. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** Pause before a command is tried again when the server named none. */
export const RETRY_AFTER_MS = 1_000;

/** Longest wait that a command is put through unasked; slow mode may want hours, which is for a person to know. */
export const PUT_OFF_MS_MAX = 30_000;

/** Messages of a page that the client fetches by itself; as many as a join brings. */
export const PAGE_MESSAGES = 50;

/** `typing` ends by itself after this long, as in the protocol. */
export const TYPING_MS = 6_000;

/** The users of a reaction that a message lists, as in the protocol. */
export const REACTION_USERS_MAX = 20;

/** Occupants kept by name; the count goes on above it. */
export const OCCUPANTS_MAX = 200;
