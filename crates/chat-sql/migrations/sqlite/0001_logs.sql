-- Entries, messages and keys of rooms. Ids and epochs are 64 random bits, stored as signed numbers.
-- Text has U+0000 escaped: see src/text.rs.

-- Where each room's log stands: its head.
CREATE TABLE logs (
    room        TEXT PRIMARY KEY,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    epoch_start INTEGER NOT NULL,
    -- When the room was last appended to or opened, roughly.
    used_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    room  TEXT NOT NULL,
    seq   INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    id    INTEGER NOT NULL,
    prev  INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    -- The seq of the message whose text this entry changes: found when that message is deleted.
    edits INTEGER,
    -- As the appending node encoded it; without the text of a message that was deleted since.
    tail  BLOB NOT NULL,
    PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX entries_edits ON entries (room, edits) WHERE edits IS NOT NULL;

-- Messages as they stand. `text` is null once it was deleted.
CREATE TABLE messages (
    -- For messages_search, which finds a row by a number.
    number      INTEGER PRIMARY KEY,
    room        TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    entry       INTEGER NOT NULL,
    author      TEXT NOT NULL,
    text        TEXT,
    sent_ms     INTEGER NOT NULL,
    edited_ms   INTEGER,
    reply_seq   INTEGER,
    reply_entry INTEGER,
    -- A JSON array of users; null if nobody is mentioned.
    mentions    TEXT,
    meta        TEXT,
    changed_seq INTEGER,
    UNIQUE (room, seq)
) STRICT;

-- Ready for a search, and empty until there is one: INSERT INTO messages_search(messages_search)
-- VALUES ('rebuild') fills it.
CREATE VIRTUAL TABLE messages_search USING fts5 (text, content = 'messages', content_rowid = 'number');

CREATE TABLE reactions (
    room    TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    emoji   TEXT NOT NULL,
    user_id TEXT NOT NULL,
    -- The entry that added it: users are told in this order.
    since   INTEGER NOT NULL,
    PRIMARY KEY (room, seq, emoji, user_id)
) STRICT, WITHOUT ROWID;

-- Keys that clients used, by the window in which they did, so that old ones go as one range.
CREATE TABLE keys (
    window_ms INTEGER NOT NULL,
    room      TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    key       TEXT NOT NULL,
    content   BLOB NOT NULL,
    epoch     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    id        INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (window_ms, room, user_id, key)
) STRICT, WITHOUT ROWID;
