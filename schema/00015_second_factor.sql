-- +goose Up

-- The secret of the user's authenticator app (RFC 6238), sealed with a key derived from the service's secret. A user who sets another app up
-- keeps the old secret until the new one is confirmed.
CREATE TABLE totp (
    account_id     uuid        NOT NULL PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    sealed         bytea,
    confirmed_at   timestamptz,                     -- set if sealed is set
    last_step      bigint      NOT NULL DEFAULT 0,  -- the time step of the last code that was used: a code is valid once
    pending_sealed bytea,                           -- not confirmed yet
    pending_at     timestamptz                      -- set if pending_sealed is set
);

-- The unused recovery codes. They have 120 random bits, so a plain hash is enough.
CREATE TABLE recovery_code (
    code_hash  bytea       NOT NULL PRIMARY KEY, -- SHA-256
    account_id uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL
);
CREATE INDEX recovery_code_account_id ON recovery_code (account_id);

-- The passkeys of users: credential records of WebAuthn Level 3.
CREATE TABLE passkey (
    id            uuid        NOT NULL PRIMARY KEY,
    account_id    uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    rp_id         text        NOT NULL, -- the domain for which it was made: it works for no other
    credential_id bytea       NOT NULL UNIQUE,
    public_key    bytea       NOT NULL, -- a COSE key
    sign_count    bigint      NOT NULL,
    flags         bigint      NOT NULL, -- those of the authenticator data
    transports    text        NOT NULL, -- separated by spaces
    name          text        NOT NULL,
    created_at    timestamptz NOT NULL,
    used_at       timestamptz
);
CREATE INDEX passkey_account_id ON passkey (account_id);

-- The challenges of ceremonies that have succeeded: a ceremony succeeds once. Rows live as long as a ceremony.
CREATE TABLE used_challenge (
    hash       bytea       NOT NULL PRIMARY KEY, -- SHA-256
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_challenge_expires_at ON used_challenge (expires_at);

-- Wrong second factors in a row after a right password, and when the user was last told about them by e-mail.
ALTER TABLE account ADD COLUMN second_factor_failures bigint NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN second_factor_notified_at timestamptz;

-- +goose Down
ALTER TABLE account DROP COLUMN second_factor_notified_at;
ALTER TABLE account DROP COLUMN second_factor_failures;
DROP TABLE used_challenge;
DROP TABLE passkey;
DROP TABLE recovery_code;
DROP TABLE totp;
