-- Whose things are whose. What was there before belongs to the organisation `default`.
CREATE TABLE organisations (
    name       TEXT   NOT NULL PRIMARY KEY,
    created_ms BIGINT NOT NULL
);
INSERT INTO organisations (name, created_ms) VALUES ('default', 0);

-- Keys that are older than scopes could do everything, and still can. `former_sha256` is the secret before the last
-- rotation, which is taken until `former_until_ms`.
ALTER TABLE api_keys ADD COLUMN organisation TEXT NOT NULL DEFAULT 'default';
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'functions:read functions:write jobs nodes billing admin';
ALTER TABLE api_keys ADD COLUMN expires_ms BIGINT;
ALTER TABLE api_keys ADD COLUMN rotated_ms BIGINT;
ALTER TABLE api_keys ADD COLUMN former_sha256 TEXT;
ALTER TABLE api_keys ADD COLUMN former_until_ms BIGINT;
CREATE INDEX api_keys_by_organisation ON api_keys (organisation, created_ms, id);

ALTER TABLE functions ADD COLUMN organisation TEXT NOT NULL DEFAULT 'default';
CREATE INDEX functions_by_organisation ON functions (organisation, name);

-- Which organisations showed that they have a blob's bytes. The bytes are stored once; who has not sent them does not
-- learn that they are there.
CREATE TABLE blob_holders (
    organisation TEXT   NOT NULL,
    blob         TEXT   NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
    touched_ms   BIGINT NOT NULL,
    PRIMARY KEY (organisation, blob)
);
CREATE INDEX blob_holders_by_blob ON blob_holders (blob);
INSERT INTO blob_holders (organisation, blob, touched_ms) SELECT 'default', digest, touched_ms FROM blobs;

ALTER TABLE jobs ADD COLUMN organisation TEXT NOT NULL DEFAULT 'default';
CREATE INDEX jobs_by_organisation ON jobs (organisation, created_ms, id);

-- Null: registered by its operator's signature alone.
ALTER TABLE nodes ADD COLUMN organisation TEXT;
UPDATE nodes SET organisation = 'default';
