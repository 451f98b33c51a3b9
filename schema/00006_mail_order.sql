-- +goose Up

-- The order of the passwords that are mailed to an account. Each one has a number, given under the lock of the account's row:
-- clocks of replicas, and ids that are made by them, do not agree on which of two mails is the newer one.
ALTER TABLE account ADD COLUMN password_mails bigint NOT NULL DEFAULT 0; -- the number of the newest
ALTER TABLE account ADD COLUMN armed_number bigint NOT NULL DEFAULT 0;   -- no mail up to this number can arm its password any more

-- Of a mail with a password: its number. 0: the version before has queued it, and it is numbered when it arms its password.
ALTER TABLE mail ADD COLUMN number bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE mail DROP COLUMN number;
ALTER TABLE account DROP COLUMN armed_number;
ALTER TABLE account DROP COLUMN password_mails;
