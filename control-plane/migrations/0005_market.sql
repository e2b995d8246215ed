-- The market: what happened to it, in order, and now and then all that follows from that. The tables of leases, routes and
-- orders are what it decided.
CREATE TABLE market_events (
    seq     BIGINT NOT NULL PRIMARY KEY,
    -- Drawn anew whenever events are added: whoever holds the market in memory sees by it whether what led there was
    -- committed.
    mark    TEXT   NOT NULL,
    at_ms   BIGINT NOT NULL,
    event   TEXT   NOT NULL,
    -- When time alone changes something after this event.
    wake_ms BIGINT
);

-- All that follows from the events up to `seq`: CBOR in base64. `format` names the rules by which it follows.
CREATE TABLE market_snapshots (
    seq    BIGINT NOT NULL PRIMARY KEY,
    mark   TEXT   NOT NULL,
    format BIGINT NOT NULL,
    state  TEXT   NOT NULL
);

-- What the market last said of a function's order: replicas wanted, what going back would turn to, why replicas are
-- missing; and the load that it was last told of.
CREATE TABLE orders (
    function       TEXT   NOT NULL PRIMARY KEY REFERENCES functions (name) ON DELETE CASCADE,
    target         BIGINT NOT NULL,
    canary         BIGINT NOT NULL,
    previous       TEXT,
    shortage       TEXT,
    in_flight      BIGINT NOT NULL,
    oldest_wait_ms BIGINT NOT NULL
);

-- Which digests answer for a function, and with which part of its requests, hundredths of a percent.
CREATE TABLE routes (
    function   TEXT   NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
    digest     TEXT   NOT NULL,
    deployment TEXT   NOT NULL,
    weight     BIGINT NOT NULL,
    PRIMARY KEY (function, digest)
);

-- Callers that wait at a gateway for a replica, until the gateway says otherwise or has said nothing for a while.
CREATE TABLE demand (
    function       TEXT   NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
    source         TEXT   NOT NULL,
    waiting        BIGINT NOT NULL,
    oldest_wait_ms BIGINT NOT NULL,
    at_ms          BIGINT NOT NULL,
    PRIMARY KEY (function, source)
);

-- Scaling and placement as JSON; null: as many replicas as ordered, anywhere.
ALTER TABLE deployments ADD COLUMN terms TEXT;
-- What the last replica failed with, until one answers.
ALTER TABLE deployments ADD COLUMN failure TEXT;
-- On trial beside the live deployment, with this part of the requests.
ALTER TABLE deployments ADD COLUMN canary_weight BIGINT;
ALTER TABLE deployments DROP COLUMN shortage;
DROP INDEX deployments_one_live;
CREATE UNIQUE INDEX deployments_one_live ON deployments (function)
    WHERE replaced_by IS NULL AND canary_weight IS NULL;
CREATE UNIQUE INDEX deployments_one_canary ON deployments (function)
    WHERE replaced_by IS NULL AND canary_weight IS NOT NULL;

ALTER TABLE leases ADD COLUMN until_ms BIGINT;
ALTER TABLE leases ADD COLUMN draining_ms BIGINT;
-- What its node last said of it.
ALTER TABLE leases ADD COLUMN in_flight BIGINT;
ALTER TABLE leases ADD COLUMN oldest_wait_ms BIGINT;
CREATE INDEX leases_by_function ON leases (function) WHERE ended_ms IS NULL;

ALTER TABLE nodes ADD COLUMN region TEXT NOT NULL DEFAULT 'default';
ALTER TABLE nodes ADD COLUMN leaves_ms BIGINT;
