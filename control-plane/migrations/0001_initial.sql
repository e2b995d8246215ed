-- Plain SQL that SQLite and PostgreSQL both read. Digests, ids and hashes are text; times are Unix milliseconds;
-- prices are micro-units per GiB-second.

CREATE TABLE api_keys (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    secret_sha256 TEXT   NOT NULL,
    created_ms    BIGINT NOT NULL,
    revoked_ms    BIGINT
);

-- A row says that the object store holds the whole blob: it is written after the object and deleted before it.
CREATE TABLE blobs (
    digest     TEXT   NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    touched_ms BIGINT NOT NULL
);

CREATE TABLE functions (
    name         TEXT   NOT NULL PRIMARY KEY,
    last_version BIGINT NOT NULL,
    last_log     BIGINT NOT NULL
);

CREATE TABLE versions (
    digest       TEXT   NOT NULL PRIMARY KEY,
    function     TEXT   NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
    version      BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    created_ms   BIGINT NOT NULL,
    UNIQUE (function, version)
);

-- What keeps a blob from being collected: the manifest itself and each layer.
CREATE TABLE version_blobs (
    version TEXT NOT NULL REFERENCES versions (digest) ON DELETE CASCADE,
    blob    TEXT NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (version, blob)
);
CREATE INDEX version_blobs_by_blob ON version_blobs (blob);

CREATE TABLE deployments (
    id          TEXT   NOT NULL PRIMARY KEY,
    function    TEXT   NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
    digest      TEXT   NOT NULL REFERENCES versions (digest),
    replicas    BIGINT NOT NULL,
    max_price   BIGINT,
    shortage    TEXT,
    created_ms  BIGINT NOT NULL,
    replaced_by TEXT,
    replaced_ms BIGINT
);
CREATE UNIQUE INDEX deployments_one_live ON deployments (function) WHERE replaced_by IS NULL;
CREATE INDEX deployments_by_digest ON deployments (digest);

CREATE TABLE nodes (
    id            TEXT    NOT NULL PRIMARY KEY,
    operator      TEXT    NOT NULL,
    endpoint      TEXT    NOT NULL,
    memory_bytes  BIGINT  NOT NULL,
    price         BIGINT  NOT NULL,
    boot_id       TEXT    NOT NULL,
    token_sha256  TEXT    NOT NULL,
    revision      BIGINT  NOT NULL,
    online        BOOLEAN NOT NULL,
    seen_ms       BIGINT  NOT NULL,
    registered_ms BIGINT  NOT NULL
);

-- Every boot that ever registered, so that none moves to another node.
CREATE TABLE boots (
    boot_id TEXT NOT NULL PRIMARY KEY,
    node    TEXT NOT NULL REFERENCES nodes (id)
);

CREATE TABLE leases (
    id           TEXT   NOT NULL PRIMARY KEY,
    deployment   TEXT   NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    function     TEXT   NOT NULL,
    node         TEXT   NOT NULL REFERENCES nodes (id),
    memory_bytes BIGINT NOT NULL,
    price        BIGINT NOT NULL,
    state        TEXT   NOT NULL,
    error        TEXT,
    granted_ms   BIGINT NOT NULL,
    ended_ms     BIGINT
);
CREATE UNIQUE INDEX leases_one_replica ON leases (node, function) WHERE ended_ms IS NULL;
CREATE INDEX leases_by_deployment ON leases (deployment);

CREATE TABLE logs (
    function TEXT   NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
    id       BIGINT NOT NULL,
    node     TEXT   NOT NULL REFERENCES nodes (id),
    boot_id  TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL,
    code     TEXT   NOT NULL,
    message  TEXT   NOT NULL,
    PRIMARY KEY (function, id),
    UNIQUE (node, boot_id, seq)
);

CREATE TABLE idempotency (
    principal   TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    fingerprint TEXT   NOT NULL,
    status      BIGINT NOT NULL,
    body        TEXT   NOT NULL,
    created_ms  BIGINT NOT NULL,
    PRIMARY KEY (principal, key)
);
