-- Money: double entry in micro-units. Entries are numbered without gaps in the order in which they were booked, and never
-- changed; `cause` says why, and has room for one.
CREATE TABLE ledger_accounts (
    name    TEXT   NOT NULL PRIMARY KEY,
    balance BIGINT NOT NULL
);

CREATE TABLE ledger_entries (
    id    BIGINT NOT NULL PRIMARY KEY,
    cause TEXT   NOT NULL UNIQUE,
    at_ms BIGINT NOT NULL
);

CREATE TABLE ledger_postings (
    entry   BIGINT NOT NULL REFERENCES ledger_entries (id),
    account TEXT   NOT NULL REFERENCES ledger_accounts (name),
    amount  BIGINT NOT NULL,
    PRIMARY KEY (entry, account)
);
CREATE INDEX ledger_postings_by_account ON ledger_postings (account, entry);

-- What was agreed for each lease, kept longer than the lease: who pays whom, and how much. `hold` is what is to be set
-- aside while it runs, `held` what is; both are nothing once `settled_ms` is set.
CREATE TABLE lease_terms (
    lease        TEXT   NOT NULL PRIMARY KEY,
    function     TEXT   NOT NULL,
    customer     TEXT   NOT NULL,
    node         TEXT   NOT NULL,
    operator     TEXT   NOT NULL,
    memory_bytes BIGINT NOT NULL,
    cpu_milli    BIGINT NOT NULL,
    gib_second   BIGINT NOT NULL,
    cpu_second   BIGINT NOT NULL,
    gib_carried  BIGINT NOT NULL,
    fee          BIGINT NOT NULL,
    hold         BIGINT NOT NULL,
    held         BIGINT NOT NULL,
    granted_ms   BIGINT NOT NULL,
    ended_ms     BIGINT,
    settled_ms   BIGINT
);
CREATE INDEX lease_terms_open ON lease_terms (customer, function) WHERE settled_ms IS NULL;

-- Numbers of usage receipts, a boot: the one that is due, and those below it that never came.
CREATE TABLE usage_sequences (
    boot_id TEXT   NOT NULL PRIMARY KEY,
    due     BIGINT NOT NULL
);

CREATE TABLE usage_gaps (
    boot_id   TEXT   NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL,
    PRIMARY KEY (boot_id, first_seq)
);

-- Every receipt that was taken, as it was signed; what it costs, and what of that was charged: less where nobody pays or a
-- cap was reached.
CREATE TABLE usage_receipts (
    boot_id        TEXT   NOT NULL,
    seq            BIGINT NOT NULL,
    lease          TEXT,
    caller         TEXT   NOT NULL,
    compute_micros BIGINT NOT NULL,
    bytes_in       BIGINT NOT NULL,
    bytes_out      BIGINT NOT NULL,
    signature      TEXT   NOT NULL,
    cost           BIGINT NOT NULL,
    charged        BIGINT NOT NULL,
    booked_ms      BIGINT NOT NULL,
    PRIMARY KEY (boot_id, seq)
);
CREATE INDEX usage_receipts_by_lease ON usage_receipts (lease, booked_ms);

-- What was charged, by days since 1970 (UTC): what caps are held against.
CREATE TABLE spending (
    customer TEXT   NOT NULL,
    function TEXT   NOT NULL,
    day      BIGINT NOT NULL,
    amount   BIGINT NOT NULL,
    PRIMARY KEY (customer, function, day)
);

-- Caps of a customer; `function` is empty where all its functions count together. `floor` is what was spent and set aside
-- already when the cap was set.
CREATE TABLE spending_caps (
    customer TEXT   NOT NULL,
    function TEXT   NOT NULL,
    period   TEXT   NOT NULL,
    amount   BIGINT NOT NULL,
    floor    BIGINT NOT NULL,
    set_ms   BIGINT NOT NULL,
    PRIMARY KEY (customer, function, period)
);

-- Functions that have no leases because their next use is not covered, and how much must be.
CREATE TABLE spending_stops (
    function TEXT   NOT NULL PRIMARY KEY,
    customer TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    wanted   BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL
);

-- One for each customer and month (`2026-11`, UTC) in which anything was charged, written when the month is over.
CREATE TABLE invoices (
    customer  TEXT   NOT NULL,
    period    TEXT   NOT NULL,
    from_ms   BIGINT NOT NULL,
    to_ms     BIGINT NOT NULL,
    total     BIGINT NOT NULL,
    issued_ms BIGINT NOT NULL,
    PRIMARY KEY (customer, period)
);

CREATE TABLE invoice_lines (
    customer       TEXT   NOT NULL,
    period         TEXT   NOT NULL,
    function       TEXT   NOT NULL,
    lease          TEXT   NOT NULL,
    receipts       BIGINT NOT NULL,
    compute_micros BIGINT NOT NULL,
    bytes          BIGINT NOT NULL,
    amount         BIGINT NOT NULL,
    PRIMARY KEY (customer, period, function, lease),
    FOREIGN KEY (customer, period) REFERENCES invoices (customer, period)
);
