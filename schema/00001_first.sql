-- +goose Up

-- One schema for PostgreSQL and SQLite: only what both understand in the same way.
-- Times come from the service, never from the database's clock. Ids are UUIDs made by the service:
-- version 7 (in order of time) except where an id must not be guessable.

-- An invitation to sign up, usable max_uses times until expires_at.
-- uses counts the confirmed accounts. A sign-up that waits for its confirmation holds a use too, which is free again the
-- moment it expires: the truth about those is in account.pending_until. taken is never less than both together, so
-- that they need not be counted while it is below max_uses.
CREATE TABLE invite (
    id         uuid        NOT NULL PRIMARY KEY,
    code_hash  bytea       NOT NULL UNIQUE, -- keyed hash: a code cannot be read back, nor tried out offline
    max_uses   bigint      NOT NULL,
    uses       bigint      NOT NULL,
    taken      bigint      NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK (uses >= 0 AND uses <= max_uses AND taken <= max_uses)
);

-- A person. While pending_until is set, the address is not confirmed yet and nobody can log in.
CREATE TABLE account (
    id             uuid        NOT NULL PRIMARY KEY,
    email          text        NOT NULL UNIQUE, -- in its one canonical spelling
    language       text        NOT NULL,
    invite_id      uuid        REFERENCES invite (id),
    created_at     timestamptz NOT NULL,
    pending_until  timestamptz,
    disabled_at    timestamptz,
    last_log_in_at timestamptz,
    password_hash  text,        -- PHC string; set by the first log-in with the armed password
    -- A password that was mailed and waits for its first use. It has the salt and the parameters of
    -- password_hash, so that trying a password against both costs one computation.
    armed_hash     text,
    armed_mail_id  uuid,        -- the newest mail that armed a password; stays, so that no older one can arm again
    armed_until    timestamptz  -- unused after this, the password is void; set anew when the mail was accepted
);

-- Finds the uses that an invite has lent to unconfirmed sign-ups.
CREATE INDEX account_pending ON account (invite_id, pending_until) WHERE pending_until IS NOT NULL;

-- A mailed link. The key in the link is derived from id under the service's secret; here is only its hash.
CREATE TABLE confirmation (
    id         uuid        NOT NULL PRIMARY KEY, -- version 4
    account_id uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    purpose    text        NOT NULL CHECK (purpose IN ('signup', 'password')),
    key_hash   bytea       NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (account_id, purpose) -- a newer link replaces the older one
);

-- A log-in on one device. The refresh token is a function of (id, generation, refreshed_at).
-- Indexed by account only: a refresh changes no indexed column and so stays a HOT update on PostgreSQL.
CREATE TABLE session (
    id           uuid        NOT NULL PRIMARY KEY,
    account_id   uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    generation   bigint      NOT NULL,
    client_id    text        NOT NULL,
    platform     text        NOT NULL,
    remote_addr  text        NOT NULL,
    created_at   timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL
);

CREATE INDEX session_account ON session (account_id);

-- The outbox: mail that a committed change owes to a person. Rows hold no secret that outlives the sending:
-- a link is derived from confirmation_id, a password from nonce, which is wiped when the mail was accepted.
CREATE TABLE mail (
    id              uuid        NOT NULL PRIMARY KEY,
    account_id      uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    kind            text        NOT NULL CHECK (kind IN ('signup_link', 'password_link', 'password')),
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
    dead_at         timestamptz
);

CREATE INDEX mail_due ON mail (due_at) WHERE sent_at IS NULL AND dead_at IS NULL;
CREATE INDEX mail_account ON mail (account_id);

-- The keys that sign access tokens. number is unique, so that replicas that rotate at once make one key.
CREATE TABLE signing_key (
    id         text        NOT NULL PRIMARY KEY, -- the kid: RFC 7638 thumbprint
    number     bigint      NOT NULL UNIQUE,
    algorithm  text        NOT NULL,
    sealed     bytea       NOT NULL, -- PKCS #8, AES-256-GCM under a key derived from the service's secret
    created_at timestamptz NOT NULL,
    active_at  timestamptz NOT NULL  -- signs from here on until its successor does
);

-- +goose Down
DROP TABLE signing_key;
DROP TABLE mail;
DROP TABLE session;
DROP TABLE confirmation;
DROP TABLE account;
DROP TABLE invite;
