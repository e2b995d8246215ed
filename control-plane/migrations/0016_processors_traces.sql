-- Processors, thousandths of one: what a node has, what one replica of a deployment shall have, and what is kept for a
-- lease. What was there before said nothing of it: such a node holds as many as memory lets it, until it registers again.
ALTER TABLE nodes ADD COLUMN cpu_milli BIGINT NOT NULL DEFAULT 100000000;
ALTER TABLE deployments ADD COLUMN cpu_milli BIGINT NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN kept_cpu_milli BIGINT NOT NULL DEFAULT 0;

-- The trace that a job was laid in by, and the one that last changed what a node shall run (`traceparent`, W3C Trace Context),
-- so that whoever goes on with it does so in the same trace, whichever control plane it asks.
ALTER TABLE jobs ADD COLUMN trace TEXT;
ALTER TABLE nodes ADD COLUMN trace TEXT;
