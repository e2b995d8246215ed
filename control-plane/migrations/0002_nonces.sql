-- Keys that all control planes of a database share.
CREATE TABLE secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Nonces that registered a node, until they are too old to do it again.
CREATE TABLE used_nonces (
    nonce   TEXT   NOT NULL PRIMARY KEY,
    used_ms BIGINT NOT NULL
);
CREATE INDEX used_nonces_by_time ON used_nonces (used_ms);
