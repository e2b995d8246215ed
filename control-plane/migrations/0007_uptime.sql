-- Uptime: what watchers say of nodes, and what follows from it. Times are Unix milliseconds, stakes micro-units, scores
-- hundredths of a percent. What there is of each slot of an epoch is one character a slot.

-- Who may report.
CREATE TABLE watchers (
    id       TEXT   NOT NULL PRIMARY KEY,
    name     TEXT   NOT NULL,
    added_ms BIGINT NOT NULL
);

-- What a watcher weighs in an epoch is the newest of these that is not later than the epoch's begin; 0 is nothing.
CREATE TABLE watcher_stakes (
    watcher TEXT   NOT NULL REFERENCES watchers (id),
    from_ms BIGINT NOT NULL,
    stake   BIGINT NOT NULL,
    PRIMARY KEY (watcher, from_ms)
);

-- What stands behind a node.
CREATE TABLE node_stakes (
    node    TEXT   NOT NULL REFERENCES nodes (id),
    from_ms BIGINT NOT NULL,
    stake   BIGINT NOT NULL,
    PRIMARY KEY (node, from_ms)
);

-- Which run of its enclave was registered for a node since when.
CREATE TABLE node_boots (
    node    TEXT   NOT NULL REFERENCES nodes (id),
    from_ms BIGINT NOT NULL,
    boot_id TEXT   NOT NULL,
    PRIMARY KEY (node, from_ms, boot_id)
);

-- When nodes said beforehand that they will be gone.
CREATE TABLE node_drains (
    node         TEXT   NOT NULL REFERENCES nodes (id),
    from_ms      BIGINT NOT NULL,
    to_ms        BIGINT NOT NULL,
    announced_ms BIGINT NOT NULL,
    PRIMARY KEY (node, from_ms)
);

-- When no control plane of this database was at work.
CREATE TABLE outages (
    from_ms BIGINT NOT NULL PRIMARY KEY,
    to_ms   BIGINT NOT NULL
);

-- `schedule`: how time is cut here, JSON. `alive`: when a control plane last was at work.
CREATE TABLE uptime_state (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- A watcher's first commitment to an epoch stands. One that differs, signed, is kept as proof that it said two things.
CREATE TABLE uptime_commits (
    epoch            BIGINT NOT NULL,
    watcher          TEXT   NOT NULL REFERENCES watchers (id),
    commitment       TEXT   NOT NULL,
    signature        TEXT   NOT NULL,
    taken_ms         BIGINT NOT NULL,
    other_commitment TEXT,
    other_signature  TEXT,
    PRIMARY KEY (epoch, watcher)
);

-- `fault` says why a reveal does not count; one that counts takes its place, and stands.
CREATE TABLE uptime_reveals (
    epoch    BIGINT NOT NULL,
    watcher  TEXT   NOT NULL REFERENCES watchers (id),
    body     TEXT   NOT NULL,
    fault    TEXT,
    taken_ms BIGINT NOT NULL,
    PRIMARY KEY (epoch, watcher)
);

-- Words that a dispute overturned.
CREATE TABLE uptime_overturned (
    epoch    BIGINT NOT NULL,
    node     TEXT   NOT NULL,
    watcher  TEXT   NOT NULL,
    slot     BIGINT NOT NULL,
    evidence TEXT   NOT NULL,
    taken_ms BIGINT NOT NULL,
    PRIMARY KEY (epoch, node, watcher, slot)
);

-- An epoch is judged once: whoever does it writes this row, and there is room for one. `watchers` is a JSON list.
CREATE TABLE uptime_epochs (
    epoch     BIGINT NOT NULL PRIMARY KEY,
    judged_ms BIGINT NOT NULL,
    watchers  TEXT   NOT NULL
);

-- A node's slots of a judged epoch: verdicts, which are excused, and what each watcher of the epoch saw, one after the
-- other in the epoch's order; then the same, counted.
CREATE TABLE uptime_slots (
    epoch         BIGINT NOT NULL,
    node          TEXT   NOT NULL,
    verdicts      TEXT   NOT NULL,
    excused_slots TEXT   NOT NULL,
    saw           TEXT   NOT NULL,
    up            BIGINT NOT NULL,
    missing       BIGINT NOT NULL,
    excused       BIGINT NOT NULL,
    unjudged      BIGINT NOT NULL,
    PRIMARY KEY (epoch, node)
);
CREATE INDEX uptime_slots_by_node ON uptime_slots (node, epoch);

-- Where a node stands: its score over the last window, and since when watchers agree that nobody reaches it.
CREATE TABLE node_uptime (
    node           TEXT   NOT NULL PRIMARY KEY REFERENCES nodes (id),
    score          BIGINT,
    unreachable_ms BIGINT
);

-- A window is settled once.
CREATE TABLE uptime_windows (
    number     BIGINT NOT NULL PRIMARY KEY,
    settled_ms BIGINT NOT NULL
);

-- What a window cost a node, with all that the amount follows from. Written once, never changed.
CREATE TABLE slashes (
    node         TEXT   NOT NULL REFERENCES nodes (id),
    number       BIGINT NOT NULL,
    operator     TEXT   NOT NULL,
    stake        BIGINT NOT NULL,
    window_slots BIGINT NOT NULL,
    up           BIGINT NOT NULL,
    missing      BIGINT NOT NULL,
    excused      BIGINT NOT NULL,
    unjudged     BIGINT NOT NULL,
    amount       BIGINT NOT NULL,
    settled_ms   BIGINT NOT NULL,
    PRIMARY KEY (node, number)
);
CREATE INDEX slashes_by_window ON slashes (number, node);
