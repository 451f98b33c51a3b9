-- +goose Up

-- When and how the user last authenticated in a session. NULL: the session began under the version before, with a password at created_at.
-- Neither column is indexed, so that a refresh stays a HOT update.
ALTER TABLE session ADD COLUMN authenticated_at timestamptz;
ALTER TABLE session ADD COLUMN methods text; -- the amr claim (RFC 8176), separated by spaces

-- Since when a login needs a second factor. NULL: it does not.
ALTER TABLE account ADD COLUMN second_factor_since timestamptz;

-- The end of the time in which a deletion can be undone. While it is set, disabled_at is set too, and only both together mean a deletion:
-- the version before enables an account without clearing it.
ALTER TABLE account ADD COLUMN closing_until timestamptz;
CREATE INDEX account_closing_until ON account (closing_until) WHERE closing_until IS NOT NULL;

-- A mailed link that opens a page on which the user acts. The links of confirmation act when they are opened.
CREATE TABLE link (
    id         uuid        NOT NULL PRIMARY KEY, -- version 4: the key in the link is derived from it and the service's secret
    account_id uuid        NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    purpose    text        NOT NULL, -- impl/link has the list
    key_hash   bytea       NOT NULL UNIQUE,
    address    text,                 -- where the mail goes, if not to the account's address: the new address of a change, or the old one
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (account_id, purpose) -- a newer link replaces the older one
);

-- Finds the account that can undo a change of its address, so that nobody else takes the old one.
CREATE INDEX link_address ON link (address) WHERE address IS NOT NULL;

-- +goose Down
DROP TABLE link;
DROP INDEX account_closing_until;
ALTER TABLE account DROP COLUMN closing_until;
ALTER TABLE account DROP COLUMN second_factor_since;
ALTER TABLE session DROP COLUMN methods;
ALTER TABLE session DROP COLUMN authenticated_at;
