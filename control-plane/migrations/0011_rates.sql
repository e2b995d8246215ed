-- What was agreed for a lease, one agreement after another: the first with the grant, another where a term began anew under
-- other terms. `from_ms` is when it begins to count; `lease_terms.until_ms` is the term that the last of them was made for.
CREATE TABLE lease_rates (
    lease        TEXT   NOT NULL REFERENCES lease_terms (lease),
    number       BIGINT NOT NULL,
    agreed_ms    BIGINT NOT NULL,
    from_ms      BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    cpu_milli    BIGINT NOT NULL,
    gib_second   BIGINT NOT NULL,
    cpu_second   BIGINT NOT NULL,
    gib_carried  BIGINT NOT NULL,
    fee          BIGINT NOT NULL,
    hold         BIGINT NOT NULL,
    PRIMARY KEY (lease, number)
);
INSERT INTO lease_rates (lease, number, agreed_ms, from_ms, memory_bytes, cpu_milli, gib_second, cpu_second,
        gib_carried, fee, hold)
    SELECT lease, 1, granted_ms, granted_ms, memory_bytes, cpu_milli, gib_second, cpu_second, gib_carried, fee, hold
    FROM lease_terms;
ALTER TABLE lease_terms DROP COLUMN memory_bytes;
ALTER TABLE lease_terms DROP COLUMN cpu_milli;
ALTER TABLE lease_terms DROP COLUMN gib_second;
ALTER TABLE lease_terms DROP COLUMN cpu_second;
ALTER TABLE lease_terms DROP COLUMN gib_carried;
ALTER TABLE lease_terms DROP COLUMN fee;
ALTER TABLE lease_terms ADD COLUMN until_ms BIGINT NOT NULL DEFAULT 0;

-- When the first number above a gap came: what is in the gap was signed before. And when any of a boot came last.
ALTER TABLE usage_gaps ADD COLUMN noted_ms BIGINT NOT NULL DEFAULT 0;
UPDATE usage_gaps SET noted_ms = COALESCE((
    SELECT MIN(r.booked_ms) FROM usage_receipts r
    WHERE r.boot_id = usage_gaps.boot_id AND r.seq > usage_gaps.last_seq), 0);
ALTER TABLE usage_sequences ADD COLUMN latest_ms BIGINT NOT NULL DEFAULT 0;
UPDATE usage_sequences SET latest_ms = COALESCE((
    SELECT MAX(r.booked_ms) FROM usage_receipts r WHERE r.boot_id = usage_sequences.boot_id), 0);

-- Which of its lease's agreements a receipt was charged by; null where nobody pays for it.
ALTER TABLE usage_receipts ADD COLUMN rate BIGINT;
UPDATE usage_receipts SET rate = 1 WHERE EXISTS (
    SELECT 1 FROM lease_terms t JOIN boots b ON b.boot_id = usage_receipts.boot_id
    WHERE t.lease = usage_receipts.lease AND (usage_receipts.cost > 0 OR (t.settled_ms IS NULL AND b.node = t.node)));

-- One line an agreement.
CREATE TABLE invoice_rates (
    customer       TEXT   NOT NULL,
    period         TEXT   NOT NULL,
    function       TEXT   NOT NULL,
    lease          TEXT   NOT NULL,
    rate           BIGINT NOT NULL,
    gib_second     BIGINT NOT NULL,
    cpu_second     BIGINT NOT NULL,
    receipts       BIGINT NOT NULL,
    compute_micros BIGINT NOT NULL,
    bytes          BIGINT NOT NULL,
    amount         BIGINT NOT NULL,
    PRIMARY KEY (customer, period, function, lease, rate),
    FOREIGN KEY (customer, period) REFERENCES invoices (customer, period)
);
INSERT INTO invoice_rates (customer, period, function, lease, rate, gib_second, cpu_second, receipts, compute_micros,
        bytes, amount)
    SELECT i.customer, i.period, i.function, i.lease, 1, r.gib_second, r.cpu_second, i.receipts, i.compute_micros,
        i.bytes, i.amount
    FROM invoice_lines i JOIN lease_rates r ON r.lease = i.lease;
DROP TABLE invoice_lines;
ALTER TABLE invoice_rates RENAME TO invoice_lines;

-- What is asked and agreed per processor-second; and how much of a processor a lease keeps busy while it computes,
-- thousandths.
ALTER TABLE nodes ADD COLUMN cpu_price BIGINT NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN cpu_price BIGINT NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN cpu_milli BIGINT NOT NULL DEFAULT 1000;

-- The most that a second of a job may cost, 1024ths of a micro-unit: memory and processor together. No ask was ever above
-- 10^12.
ALTER TABLE jobs RENAME COLUMN max_lease_price TO max_second_cost;
UPDATE jobs SET max_second_cost = CASE WHEN max_second_cost <= 1000000000000 THEN max_second_cost * (
    SELECT (v.memory_bytes + 1048575) / 1048576 FROM versions v WHERE v.digest = jobs.digest) END;

-- What operators asked to be paid, and what they were: asked for, then paid or withdrawn. What was paid unasked is asked for
-- when it is paid. `reference` is the payment's own.
CREATE TABLE payouts (
    id           TEXT   NOT NULL PRIMARY KEY,
    operator     TEXT   NOT NULL,
    amount       BIGINT NOT NULL,
    asked_ms     BIGINT NOT NULL,
    paid_ms      BIGINT,
    reference    TEXT,
    withdrawn_ms BIGINT
);
CREATE INDEX payouts_by_operator ON payouts (operator, asked_ms, id);
CREATE UNIQUE INDEX payouts_by_reference ON payouts (reference);
INSERT INTO payouts (id, operator, amount, asked_ms, paid_ms, reference)
    SELECT 'payout_' || substr('00000000000000000000000000000000' || CAST(e.id AS TEXT), length(CAST(e.id AS TEXT)) + 1),
        substr(p.account, 10), -p.amount, e.at_ms, e.at_ms, substr(e.cause, 8)
    FROM ledger_entries e JOIN ledger_postings p ON p.entry = e.id
    WHERE e.cause LIKE 'payout:%' AND p.account LIKE 'operator:%';
CREATE INDEX nodes_by_organisation ON nodes (organisation, operator);
