-- +goose Up

-- When the user chose the password. NULL: the service generated it. The version before does not set it back to NULL when a mailed password
-- replaces a chosen one, so while replicas are replaced it may stay set; it is only shown to the user.
ALTER TABLE account ADD COLUMN password_chosen_at timestamptz;

-- +goose Down
ALTER TABLE account DROP COLUMN password_chosen_at;
