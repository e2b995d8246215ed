-- Whose database this is: one relay's, for one contract on one chain, with one account.
CREATE TABLE relay (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- The chain's latest blocks as they were followed, down to where nothing is reorganised any more. The highest is the cursor.
CREATE TABLE blocks (
    number BIGINT NOT NULL PRIMARY KEY,
    hash   TEXT   NOT NULL,
    time   BIGINT NOT NULL
);

-- Jobs that were asked for. `requested_block` is null where a reorganisation took the request away, `settled_block` where
-- it has not ended. `job` is ABI-encoded, bytes are base64url. `due_ms` is when it is worth looking again, `done` when it never is.
CREATE TABLE jobs (
    id              TEXT   NOT NULL PRIMARY KEY,
    job             TEXT   NOT NULL,
    input           TEXT,
    assured         BIGINT NOT NULL,
    deadline        BIGINT NOT NULL,
    requested_block BIGINT,
    settled_block   BIGINT,
    settled         TEXT,
    work            TEXT   NOT NULL,
    sending         BIGINT,
    reason          TEXT,
    attempt         BIGINT NOT NULL,
    reverts         BIGINT NOT NULL,
    due_ms          BIGINT NOT NULL,
    done            BIGINT NOT NULL,
    changed_ms      BIGINT NOT NULL
);
CREATE INDEX jobs_due ON jobs (due_ms) WHERE done = 0;
CREATE INDEX jobs_requested ON jobs (requested_block);
CREATE INDEX jobs_settled ON jobs (settled_block);

-- The enclave's answer to a job, checked.
CREATE TABLE answers (
    job         TEXT   NOT NULL PRIMARY KEY REFERENCES jobs (id),
    status      BIGINT NOT NULL,
    executed_ms BIGINT NOT NULL,
    payee       TEXT   NOT NULL,
    signer      TEXT   NOT NULL,
    output      TEXT   NOT NULL,
    signature   TEXT   NOT NULL
);

-- The outbox: one row a nonce. Amounts are wei, in decimal digits. `cost` is what it did cost, once it is mined.
CREATE TABLE entries (
    nonce       BIGINT NOT NULL PRIMARY KEY,
    job         TEXT,
    purpose     TEXT   NOT NULL,
    target      TEXT   NOT NULL,
    data        TEXT   NOT NULL,
    phase       TEXT   NOT NULL,
    mined_block BIGINT,
    succeeded   BIGINT,
    gas         BIGINT NOT NULL,
    max_fee     TEXT   NOT NULL,
    tip         TEXT   NOT NULL,
    ceiling     TEXT   NOT NULL,
    offered_at  BIGINT NOT NULL,
    is_cancel   BIGINT NOT NULL,
    cost        TEXT,
    created_ms  BIGINT NOT NULL
);
CREATE INDEX entries_phase ON entries (phase);
CREATE INDEX entries_created ON entries (created_ms);

-- Every transaction that was signed for a nonce and may be mined still.
CREATE TABLE transactions (
    hash  TEXT   NOT NULL PRIMARY KEY,
    nonce BIGINT NOT NULL REFERENCES entries (nonce),
    turn  BIGINT NOT NULL,
    raw   TEXT   NOT NULL
);
CREATE INDEX transactions_nonce ON transactions (nonce, turn);
