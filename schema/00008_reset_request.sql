-- +goose Up

-- A reset that fails is tried again later and not for ever, so that it cannot keep others waiting.
ALTER TABLE reset_request ADD COLUMN attempts bigint NOT NULL DEFAULT 0; -- that have failed
ALTER TABLE reset_request ADD COLUMN due_at timestamptz;                 -- the next attempt; NULL means now

-- +goose Down
ALTER TABLE reset_request DROP COLUMN due_at;
ALTER TABLE reset_request DROP COLUMN attempts;
