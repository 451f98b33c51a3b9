-- +goose Up

-- A sign-up with an address that was taken, while accounts are hidden, is an account that nobody can confirm: its address is
-- its own id, and taken_by the account that has the address. So it holds a use of its invite, and lapses, like any other.
ALTER TABLE account ADD COLUMN taken_by uuid;
CREATE INDEX account_taken_by ON account (taken_by) WHERE taken_by IS NOT NULL;

-- The newest mail that told the account's owner that somebody signed up with his address. Ids are in order of time.
ALTER TABLE account ADD COLUMN told_mail_id uuid;

-- A place and a program that an account has been logged in from.
CREATE TABLE device (
    id         uuid        NOT NULL PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    mark       bytea       NOT NULL, -- hash of client, platform and network
    seen_at    timestamptz NOT NULL,
    UNIQUE (account_id, mark)
);

-- Password resets that were asked for while accounts are hidden: whose address it is, if anybody's, is looked up after the answer.
CREATE TABLE reset_request (
    id          uuid        NOT NULL PRIMARY KEY,
    email       text        NOT NULL,
    request_id  text        NOT NULL,
    remote_addr text        NOT NULL,
    created_at  timestamptz NOT NULL
);

-- Mail of more kinds, which tells what happened and where. SQLite can not change a CHECK: so the table is replaced.
-- The first statement is there for PostgreSQL: it keeps replicas from queueing mails that would be left behind.
ALTER TABLE mail ADD COLUMN platform text;

CREATE TABLE mail_next (
    id              uuid        NOT NULL PRIMARY KEY,
    account_id      uuid        NOT NULL CONSTRAINT mail_account_id_fkey REFERENCES account (id) ON DELETE CASCADE,
    kind            text        NOT NULL CONSTRAINT mail_kind_check CHECK (kind IN (
        'signup_link', 'password_link', 'password', 'signup_notice', 'login_notice', 'password_notice'
    )),
    confirmation_id uuid,                 -- of the link, for the kinds that carry one
    nonce           bytea,                -- of the password, for the kind that carries one
    request_id      text        NOT NULL, -- of the request that caused the mail
    created_at      timestamptz NOT NULL,
    -- The next attempt; while a worker has the row, the end of its lease. With attempts it is the fence: only the holder of
    -- the latest lease may settle the row.
    due_at          timestamptz NOT NULL,
    attempts        bigint      NOT NULL, -- those that failed because of the relay do not count
    last_error      text,                 -- null while an attempt is under way
    sent_at         timestamptz,
    dead_at         timestamptz,
    -- Of the log-in that the mail tells of.
    happened_at     timestamptz,
    platform        text,
    remote_addr     text
);

INSERT INTO mail_next (
    id, account_id, kind, confirmation_id, nonce, request_id, created_at, due_at, attempts, last_error, sent_at, dead_at
)
SELECT id, account_id, kind, confirmation_id, nonce, request_id, created_at, due_at, attempts, last_error, sent_at, dead_at
FROM mail;

DROP TABLE mail;
ALTER TABLE mail_next RENAME TO mail;
CREATE INDEX mail_due ON mail (due_at) WHERE sent_at IS NULL AND dead_at IS NULL;
CREATE INDEX mail_account ON mail (account_id);

-- +goose Down
DELETE FROM mail WHERE kind NOT IN ('signup_link', 'password_link', 'password');
ALTER TABLE mail DROP COLUMN happened_at;
ALTER TABLE mail DROP COLUMN platform;
ALTER TABLE mail DROP COLUMN remote_addr;
DELETE FROM account WHERE taken_by IS NOT NULL;
DROP INDEX account_taken_by;
ALTER TABLE account DROP COLUMN taken_by;
ALTER TABLE account DROP COLUMN told_mail_id;
DROP TABLE reset_request;
DROP TABLE device;
