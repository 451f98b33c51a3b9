-- +goose Up

-- Standard names, before the first release. The version before does not run on this schema: see README.md.

ALTER TABLE account RENAME COLUMN armed_hash TO pending_password_hash;
ALTER TABLE account RENAME COLUMN armed_mail_id TO pending_password_mail_id;
ALTER TABLE account RENAME COLUMN armed_number TO pending_password_number;
ALTER TABLE account RENAME COLUMN armed_until TO pending_password_expires_at;
ALTER TABLE account RENAME COLUMN password_mails TO last_password_number;
ALTER TABLE account RENAME COLUMN told_mail_id TO notified_mail_id;
ALTER TABLE account RENAME COLUMN taken_by TO decoy_of;
ALTER TABLE account RENAME COLUMN last_log_in_at TO last_login_at;
DROP INDEX account_taken_by;
CREATE INDEX account_decoy_of ON account (decoy_of) WHERE decoy_of IS NOT NULL;

ALTER TABLE invite RENAME COLUMN taken TO reserved;

ALTER TABLE device RENAME COLUMN mark TO fingerprint;

ALTER TABLE heartbeat RENAME COLUMN earlier_began_at TO previous_outage_began_at;
ALTER TABLE heartbeat RENAME COLUMN earlier_ended_at TO previous_outage_ended_at;

ALTER TABLE signing_key RENAME COLUMN sealed_before TO previous_secret_fingerprint;

-- Tables are made anew rather than renamed, so that their constraints and indexes get the new names too. Times are in microseconds
-- since 1970, durations in microseconds: PostgreSQL and SQLite add to timestamps differently.

-- Rate limits, by GCRA: the quota refills steadily and is complete at full_at.
ALTER TABLE limit_use RENAME TO limit_use_old;
CREATE TABLE rate_limit (
    key     bytea  NOT NULL PRIMARY KEY, -- keyed hash of the limit and its subject: no address is stored here
    full_at bigint NOT NULL,
    seen_at bigint NOT NULL              -- the latest time of any request; a clock that is behind uses it instead of its own
);
INSERT INTO rate_limit (key, full_at, seen_at) SELECT key, used_until, seen_at FROM limit_use_old;
DROP TABLE limit_use_old;

-- Failed logins since the last successful one. An address without an account has a row too, so that both are refused alike.
ALTER TABLE log_in_failure RENAME TO log_in_failure_old;
DROP INDEX log_in_failure_account;
CREATE TABLE login_failure (
    key             bytea  NOT NULL PRIMARY KEY, -- the account's ID, an address without an account, or both with a known client IP
    account_id      uuid   CONSTRAINT login_failure_account_id_fkey REFERENCES account (id) ON DELETE CASCADE,
    failures        bigint NOT NULL, -- consecutive, of any age: 100 of them disable the password
    recent_failures bigint NOT NULL, -- the same, reset after a long pause
    delay           bigint NOT NULL, -- from last_failed_at to the next attempt
    last_failed_at  bigint NOT NULL
);
INSERT INTO login_failure (key, account_id, failures, recent_failures, delay, last_failed_at)
SELECT key, account_id, failures, tries, delay, tried_at FROM log_in_failure_old;
DROP TABLE log_in_failure_old;
CREATE INDEX login_failure_account ON login_failure (account_id);

-- Logins in progress. Each reserves a place in the limits that a wrong password counts towards, until its row is deleted or expires.
DROP TABLE log_in_attempt;
CREATE TABLE login_attempt (
    id            uuid   NOT NULL PRIMARY KEY,
    client_ip_key bytea  NOT NULL, -- of rate_limit; empty: no limit by client IP
    account_key   bytea  NOT NULL, -- of login_failure, the row of the account or address; empty: no limit by account
    delay_key     bytea  NOT NULL, -- of login_failure, the row with the delay: account_key, or that of a known client IP
    expires_at    bigint NOT NULL
);

-- The outbox without a CHECK on kind: a new kind of mail needs no migration. A row contains no secret: the link is derived from
-- confirmation_id, the password from nonce, which is deleted when the mail was sent.
ALTER TABLE mail RENAME TO mail_old;
DROP INDEX mail_due;
DROP INDEX mail_account;
CREATE TABLE mail (
    id              uuid        NOT NULL PRIMARY KEY,
    account_id      uuid        NOT NULL CONSTRAINT mail_account_id_fkey REFERENCES account (id) ON DELETE CASCADE,
    kind            text        NOT NULL, -- impl/mail has the list
    confirmation_id uuid,                 -- of the link, for kinds with a link
    nonce           bytea,                -- of the password, for kinds with a password
    password_number bigint      NOT NULL DEFAULT 0, -- of the password; 0: it gets its number when it becomes the pending password
    request_id      text        NOT NULL, -- of the request that caused the mail
    created_at      timestamptz NOT NULL,
    -- The next attempt; during an attempt, the end of the lease. Together with attempts it is the fence: only the holder of the newest
    -- lease can record a result.
    due_at          timestamptz NOT NULL,
    attempts        bigint      NOT NULL, -- without those that failed because of the relay
    last_error      text,                 -- NULL during an attempt
    sent_at         timestamptz,
    dead_at         timestamptz,          -- permanently failed
    -- Of the login that the mail is about.
    happened_at     timestamptz,
    platform        text,
    remote_addr     text
);
INSERT INTO mail (
    id, account_id, kind, confirmation_id, nonce, password_number, request_id, created_at, due_at, attempts, last_error, sent_at,
    dead_at, happened_at, platform, remote_addr
)
SELECT
    id, account_id, kind, confirmation_id, nonce, number, request_id, created_at, due_at, attempts, last_error, sent_at,
    dead_at, happened_at, platform, remote_addr
FROM mail_old;
DROP TABLE mail_old;
CREATE INDEX mail_due ON mail (due_at) WHERE sent_at IS NULL AND dead_at IS NULL;
CREATE INDEX mail_account ON mail (account_id);

-- +goose Down
DELETE FROM mail WHERE kind NOT IN ('signup_link', 'password_link', 'password', 'signup_notice', 'login_notice', 'password_notice');
ALTER TABLE mail RENAME COLUMN password_number TO number;
DROP TABLE login_attempt;
CREATE TABLE log_in_attempt (
    id          uuid   NOT NULL PRIMARY KEY,
    source_key  bytea  NOT NULL,
    account_key bytea  NOT NULL,
    delay_key   bytea  NOT NULL,
    expires_at  bigint NOT NULL
);
ALTER TABLE login_failure RENAME COLUMN recent_failures TO tries;
ALTER TABLE login_failure RENAME COLUMN last_failed_at TO tried_at;
ALTER TABLE login_failure RENAME TO log_in_failure;
DROP INDEX login_failure_account;
CREATE INDEX log_in_failure_account ON log_in_failure (account_id);
ALTER TABLE rate_limit RENAME COLUMN full_at TO used_until;
ALTER TABLE rate_limit RENAME TO limit_use;
ALTER TABLE signing_key RENAME COLUMN previous_secret_fingerprint TO sealed_before;
ALTER TABLE heartbeat RENAME COLUMN previous_outage_began_at TO earlier_began_at;
ALTER TABLE heartbeat RENAME COLUMN previous_outage_ended_at TO earlier_ended_at;
ALTER TABLE device RENAME COLUMN fingerprint TO mark;
ALTER TABLE invite RENAME COLUMN reserved TO taken;
DROP INDEX account_decoy_of;
ALTER TABLE account RENAME COLUMN last_login_at TO last_log_in_at;
ALTER TABLE account RENAME COLUMN decoy_of TO taken_by;
ALTER TABLE account RENAME COLUMN notified_mail_id TO told_mail_id;
ALTER TABLE account RENAME COLUMN last_password_number TO password_mails;
ALTER TABLE account RENAME COLUMN pending_password_expires_at TO armed_until;
ALTER TABLE account RENAME COLUMN pending_password_number TO armed_number;
ALTER TABLE account RENAME COLUMN pending_password_mail_id TO armed_mail_id;
ALTER TABLE account RENAME COLUMN pending_password_hash TO armed_hash;
CREATE INDEX account_taken_by ON account (taken_by) WHERE taken_by IS NOT NULL;
