-- Which registries of smart contracts a node's enclave agreed to work at, and for whom: `registry` is `chain id:address`,
-- `consent` its receipt key's signature; and the newest attestation document of that enclave, base64url.
CREATE TABLE chain_keys (
    node TEXT NOT NULL REFERENCES nodes (id),
    registry TEXT NOT NULL,
    receipt_key TEXT NOT NULL,
    operator TEXT NOT NULL,
    consent TEXT NOT NULL,
    PRIMARY KEY (node, registry)
);

CREATE TABLE chain_documents (
    node TEXT NOT NULL PRIMARY KEY REFERENCES nodes (id),
    boot_id TEXT NOT NULL,
    document TEXT NOT NULL,
    document_ms BIGINT NOT NULL
);
