-- An organisation's part where capacity is short: twice the weight, twice the part; and what the market was last told of it.
ALTER TABLE organisations ADD COLUMN weight BIGINT NOT NULL DEFAULT 1;
ALTER TABLE organisations ADD COLUMN told_weight BIGINT NOT NULL DEFAULT 1;
CREATE INDEX organisations_untold ON organisations (name) WHERE weight <> told_weight;

-- When a function's load is to be summed up again; null: when something of it changes.
ALTER TABLE orders ADD COLUMN look_ms BIGINT;
UPDATE orders SET look_ms = 0;
CREATE INDEX orders_to_look_at ON orders (look_ms) WHERE look_ms IS NOT NULL;

-- What a node's incidents leave of its score, and when that changes; null: with the next incident.
ALTER TABLE nodes ADD COLUMN conduct BIGINT NOT NULL DEFAULT 10000;
ALTER TABLE nodes ADD COLUMN conduct_look_ms BIGINT;
UPDATE nodes SET conduct_look_ms = 0;
CREATE INDEX nodes_to_look_at ON nodes (conduct_look_ms) WHERE conduct_look_ms IS NOT NULL;
