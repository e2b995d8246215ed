-- Work that any control plane of the database may take up. Taken, it is due again when the taker's time is up: a taker
-- that died is missed by nobody.
CREATE TABLE queue (
    kind   TEXT   NOT NULL,
    id     TEXT   NOT NULL,
    due_ms BIGINT NOT NULL,
    tries  BIGINT NOT NULL,
    holder TEXT,
    PRIMARY KEY (kind, id)
);
CREATE INDEX queue_by_time ON queue (kind, due_ms);
