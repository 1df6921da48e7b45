-- Entries, messages and keys of rooms. Ids and epochs are 64 random bits, stored as signed numbers.
-- Text has U+0000 escaped: see src/text.rs. Names are ASCII; "C" compares them by their bytes.

-- Where each room's log stands: its head. Appends lock its row. Free space in each page lets an
-- update stay there, without touching the index.
CREATE TABLE logs (
    room        TEXT COLLATE "C" PRIMARY KEY,
    epoch       BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    at_ms       BIGINT NOT NULL,
    epoch_start BIGINT NOT NULL,
    -- When the room was last appended to or opened, roughly.
    used_ms     BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE entries (
    room  TEXT COLLATE "C" NOT NULL,
    seq   BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    id    BIGINT NOT NULL,
    prev  BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    -- The seq of the message whose text this entry changes: found when that message is deleted.
    edits BIGINT,
    -- As the appending node encoded it; without the text of a message that was deleted since.
    tail  BYTEA NOT NULL,
    PRIMARY KEY (room, seq)
);

CREATE INDEX entries_edits ON entries (room, edits) WHERE edits IS NOT NULL;

-- Messages as they stand. `text` is null once it was deleted.
CREATE TABLE messages (
    room        TEXT COLLATE "C" NOT NULL,
    seq         BIGINT NOT NULL,
    entry       BIGINT NOT NULL,
    author      TEXT COLLATE "C" NOT NULL,
    text        TEXT,
    sent_ms     BIGINT NOT NULL,
    edited_ms   BIGINT,
    reply_seq   BIGINT,
    reply_entry BIGINT,
    -- A JSON array of users; null if nobody is mentioned.
    mentions    TEXT,
    meta        TEXT,
    changed_seq BIGINT,
    -- Ready for a search: only the index is missing, which nothing would use yet.
    search      TSVECTOR GENERATED ALWAYS AS (to_tsvector('simple', coalesce(text, ''))) STORED,
    PRIMARY KEY (room, seq)
);

CREATE TABLE reactions (
    room    TEXT COLLATE "C" NOT NULL,
    seq     BIGINT NOT NULL,
    emoji   TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    -- The entry that added it: users are told in this order.
    since   BIGINT NOT NULL,
    PRIMARY KEY (room, seq, emoji, user_id)
);

-- Keys that clients used, by the window in which they did, so that old ones go as one range.
CREATE TABLE keys (
    window_ms BIGINT NOT NULL,
    room      TEXT COLLATE "C" NOT NULL,
    user_id   TEXT COLLATE "C" NOT NULL,
    key       TEXT COLLATE "C" NOT NULL,
    content   BYTEA NOT NULL,
    epoch     BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    id        BIGINT NOT NULL,
    at_ms     BIGINT NOT NULL,
    PRIMARY KEY (window_ms, room, user_id, key)
);
