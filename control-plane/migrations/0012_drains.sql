-- A drain is one thing for uptime and for the market. `market`: 0 it does not know of it yet, 1 it lets the node leave, 2 it is
-- over. `open_end` 1: it ends when the node is back, at `to_ms` at the latest. Those announced before this were none of the
-- market's business, and stay so.
ALTER TABLE node_drains ADD COLUMN open_end BIGINT NOT NULL DEFAULT 0;
ALTER TABLE node_drains ADD COLUMN market BIGINT NOT NULL DEFAULT 0;
UPDATE node_drains SET market = 2;
CREATE INDEX node_drains_by_market ON node_drains (market, from_ms);
