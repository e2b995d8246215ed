-- What keys did, or were refused. Rows are added, and deleted when they are old; none is ever changed.
CREATE TABLE audit (
    id           TEXT   NOT NULL PRIMARY KEY,
    organisation TEXT   NOT NULL,
    at_ms        BIGINT NOT NULL,
    key_id       TEXT   NOT NULL,
    action       TEXT   NOT NULL,
    method       TEXT   NOT NULL,
    path         TEXT   NOT NULL,
    address      TEXT   NOT NULL,
    status       BIGINT NOT NULL,
    code         TEXT
);
CREATE INDEX audit_by_organisation ON audit (organisation, at_ms, id);
CREATE INDEX audit_by_time ON audit (at_ms);
