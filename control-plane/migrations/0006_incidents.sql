-- Incidents are listed the latest first.
CREATE INDEX incidents_by_time ON incidents (at_ms, id);
