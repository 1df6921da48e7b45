-- Rooms, members, read markers and people.

CREATE TABLE rooms (
    room         TEXT PRIMARY KEY,
    -- open, private or direct.
    kind         TEXT NOT NULL,
    name         TEXT,
    topic        TEXT,
    slow_mode_s  INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    member_count INTEGER NOT NULL,
    -- Of the command that created it; null if somebody entered it first.
    fingerprint  BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    room     TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    -- member, admin or owner.
    role     TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (room, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user_id, room);

-- How far people have read. Outlives membership.
CREATE TABLE markers (
    room    TEXT NOT NULL,
    user_id TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (room, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE people (
    user_id TEXT PRIMARY KEY,
    -- Counts up with every room that he enters or leaves.
    version INTEGER NOT NULL,
    -- How many rooms he is a member of.
    rooms   INTEGER NOT NULL,
    seen_ms INTEGER
) STRICT, WITHOUT ROWID;
