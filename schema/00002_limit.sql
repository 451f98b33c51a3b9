-- +goose Up

-- How much of a limit its subject has used. Times here are microseconds since 1970, because PostgreSQL and SQLite do not add
-- to a timestamp alike.
-- A limit refills steadily (GCRA): used_until lies as far ahead as what was used takes to refill, and where it has passed,
-- all of the limit is there again.
CREATE TABLE limit_use (
    key        bytea  NOT NULL PRIMARY KEY, -- keyed hash of the limit and its subject: no address stands here
    used_until bigint NOT NULL
);

-- The log-ins that have failed since the last one that succeeded, and those under way: each counts as failed until it has
-- not. An address that is nobody's has its row too, so that it is refused like one that is somebody's.
CREATE TABLE log_in_failure (
    key        bytea  NOT NULL PRIMARY KEY, -- the account's id, an address that is nobody's, or both with a place that the account knows
    account_id uuid   REFERENCES account (id) ON DELETE CASCADE,
    failures   bigint NOT NULL, -- in a row, whatever their age: at a hundred the password is off
    tries      bigint NOT NULL, -- the same, forgotten after a long pause
    delay      bigint NOT NULL, -- from tried_at to the next try
    tried_at   bigint NOT NULL
);

CREATE INDEX log_in_failure_account ON log_in_failure (account_id);

-- +goose Down
DROP TABLE log_in_failure;
DROP TABLE limit_use;
