-- Asynchronous jobs. `attempt` is the fencing number: it rises with every lease, and what is reported for an earlier one
-- is refused. `tries` counts the attempts that were lost or failed.
CREATE TABLE jobs (
    id                TEXT   NOT NULL PRIMARY KEY,
    owner             TEXT   NOT NULL,
    function          TEXT   NOT NULL,
    digest            TEXT   NOT NULL,
    fingerprint       TEXT   NOT NULL,
    state             TEXT   NOT NULL,
    attempt           BIGINT NOT NULL,
    tries             BIGINT NOT NULL,
    due_ms            BIGINT NOT NULL,
    lease_until_ms    BIGINT NOT NULL,
    holder_node       TEXT,
    holder_boot       TEXT,
    avoid_boot        TEXT,
    avoid_until_ms    BIGINT NOT NULL,
    deadline_ms       BIGINT NOT NULL,
    max_lease_price   BIGINT,
    webhook           TEXT,
    result_key        TEXT,
    input_size        BIGINT NOT NULL,
    input_digest      TEXT   NOT NULL,
    -- Null until the bytes are there; a job without them is not leased.
    input_object      TEXT,
    failure_code      TEXT,
    failure_message   TEXT,
    failure_retryable TEXT,
    created_ms        BIGINT NOT NULL,
    ended_ms          BIGINT,
    kept_until_ms     BIGINT
);
CREATE INDEX jobs_by_time ON jobs (created_ms, id);
CREATE INDEX jobs_waiting ON jobs (digest, due_ms) WHERE state = 'queued';
CREATE INDEX jobs_open ON jobs (state, lease_until_ms) WHERE ended_ms IS NULL;
CREATE INDEX jobs_kept ON jobs (kept_until_ms) WHERE kept_until_ms IS NOT NULL;

-- SHA-256 of each key that a sealed job's input is sealed to.
CREATE TABLE job_recipients (
    job    TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    key_id TEXT NOT NULL,
    PRIMARY KEY (job, key_id)
);

CREATE TABLE job_attempts (
    job       TEXT   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt   BIGINT NOT NULL,
    node      TEXT   NOT NULL,
    boot_id   TEXT   NOT NULL,
    leased_ms BIGINT NOT NULL,
    ended_ms  BIGINT,
    outcome   TEXT,
    PRIMARY KEY (job, attempt)
);

-- A job ends once: whoever ends it writes this row, and there is room for one.
CREATE TABLE job_settlements (
    job           TEXT   NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    ending        TEXT   NOT NULL,
    attempt       BIGINT NOT NULL,
    settled_ms    BIGINT NOT NULL,
    node          TEXT,
    boot_id       TEXT,
    status        BIGINT,
    receipt       TEXT,
    result_size   BIGINT,
    result_digest TEXT,
    result_object TEXT
);

-- Objects of jobs. A row is written before its object and deleted after it, so that no crash leaves an object that nobody
-- knows of; from `expires_ms` on the object is deleted.
CREATE TABLE job_objects (
    name       TEXT   NOT NULL PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX job_objects_by_time ON job_objects (expires_ms);

-- What a node did that an honest one does not.
CREATE TABLE incidents (
    id      TEXT   NOT NULL PRIMARY KEY,
    node    TEXT   NOT NULL,
    boot_id TEXT   NOT NULL,
    code    TEXT   NOT NULL,
    job     TEXT,
    at_ms   BIGINT NOT NULL
);
CREATE INDEX incidents_by_node ON incidents (node, at_ms);
CREATE INDEX incidents_by_job ON incidents (job);

-- What the boot's evidence vouched for, in hex: the receipt key (X, Y), and SHA-256 of the key that jobs are sealed to.
-- Null for boots that registered before there were jobs; those get none.
ALTER TABLE boots ADD COLUMN receipt_key TEXT;
ALTER TABLE boots ADD COLUMN seal_key_id TEXT;
