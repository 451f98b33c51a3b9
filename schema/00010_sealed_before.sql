-- +goose Up

-- A fingerprint of the secret that a signing key was under before sealed was written. It tells a replica that has not
-- reached the current step of a change of AUTH_SECRET that its own secret is the older one. NULL means unknown.
ALTER TABLE signing_key ADD COLUMN sealed_before bytea;

-- +goose Down
ALTER TABLE signing_key DROP COLUMN sealed_before;
