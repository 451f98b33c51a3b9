-- +goose Up

-- 1: the user wants to choose a password on the page of the link. 0: the service mails one after the link was opened.
ALTER TABLE reset_request ADD COLUMN choose_password bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE reset_request DROP COLUMN choose_password;
