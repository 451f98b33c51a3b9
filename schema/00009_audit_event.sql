-- +goose Up

-- What operators have changed by commands, written in the transaction of the change. It names accounts by id, and refers to
-- nothing: it outlives what it tells of.
CREATE TABLE audit_event (
    id         uuid        NOT NULL PRIMARY KEY, -- version 7
    created_at timestamptz NOT NULL,
    operator   text        NOT NULL, -- who
    action     text        NOT NULL, -- what: user.disabled, session.revoked, ...
    account_id uuid,                 -- whom, where it is about one account
    subject    text,                 -- the id of a session, an invite, a mail or a key
    details    text        NOT NULL  -- JSON
);

-- +goose Down
DROP TABLE audit_event;
