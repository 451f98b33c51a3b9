-- +goose Up

-- The latest time at which anybody used the limit, in microseconds since 1970. A clock that is behind it goes by it, so that a
-- clock that was set back, or another replica's, neither fills a limit nor empties it.
ALTER TABLE limit_use ADD COLUMN seen_at bigint NOT NULL DEFAULT 0;

-- The log-ins under way. Each holds a place in the limits that a wrong password would count towards, until it ends: the row is
-- then deleted, and only a wrong password is counted. The row of a process that was killed lapses.
-- From here on, log_in_failure counts only log-ins that have failed, and tried_at is when the last one did.
CREATE TABLE log_in_attempt (
    id          uuid   NOT NULL PRIMARY KEY,
    source_key  bytea  NOT NULL, -- of limit_use; empty: log-ins from a source are not limited
    account_key bytea  NOT NULL, -- of log_in_failure, the account's or the address's row; empty: accounts are not limited
    delay_key   bytea  NOT NULL, -- of log_in_failure, the row whose delay the log-in obeys: account_key, or the one for a source that the account knows
    expires_at  bigint NOT NULL
);

-- +goose Down
DROP TABLE log_in_attempt;
ALTER TABLE limit_use DROP COLUMN seen_at;
