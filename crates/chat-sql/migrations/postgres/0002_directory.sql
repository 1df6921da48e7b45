-- Rooms, members, read markers and people.

CREATE TABLE rooms (
    room         TEXT COLLATE "C" PRIMARY KEY,
    -- open, private or direct.
    kind         TEXT NOT NULL,
    name         TEXT,
    topic        TEXT,
    slow_mode_s  BIGINT NOT NULL,
    created_ms   BIGINT NOT NULL,
    version      BIGINT NOT NULL,
    member_count BIGINT NOT NULL,
    -- Of the command that created it; null if somebody entered it first.
    fingerprint  BYTEA
);

CREATE TABLE members (
    room     TEXT COLLATE "C" NOT NULL,
    user_id  TEXT COLLATE "C" NOT NULL,
    -- member, admin or owner.
    role     TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (room, user_id)
);

CREATE INDEX members_by_user ON members (user_id, room);

-- How far people have read. Outlives membership.
CREATE TABLE markers (
    room    TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    epoch   BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    PRIMARY KEY (room, user_id)
);

CREATE TABLE people (
    user_id TEXT COLLATE "C" PRIMARY KEY,
    -- Counts up with every room that he enters or leaves.
    version BIGINT NOT NULL,
    -- How many rooms he is a member of.
    rooms   BIGINT NOT NULL,
    seen_ms BIGINT
);
