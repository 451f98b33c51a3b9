-- UpsertConfirmation stores a link and replaces an older one with the same purpose.
-- name: UpsertConfirmation :exec
INSERT INTO confirmation (id, account_id, purpose, key_hash, created_at, expires_at)
VALUES (@id, @account_id, @purpose, @key_hash, @created_at, @expires_at)
ON CONFLICT (account_id, purpose) DO UPDATE SET
    id = excluded.id, key_hash = excluded.key_hash, created_at = excluded.created_at, expires_at = excluded.expires_at;

-- name: GetConfirmation :one
SELECT * FROM confirmation WHERE account_id = @account_id AND purpose = @purpose;

-- GetConfirmationByKey returns the valid link with a key.
-- name: GetConfirmationByKey :one
SELECT * FROM confirmation WHERE key_hash = @key_hash AND expires_at > @now;

-- ConsumeConfirmation deletes a valid link and returns it. Of several requests at the same time, one gets the row.
-- name: ConsumeConfirmation :one
DELETE FROM confirmation WHERE key_hash = @key_hash AND expires_at > @now RETURNING *;

-- name: DeleteConfirmation :exec
DELETE FROM confirmation WHERE account_id = @account_id AND purpose = @purpose;

-- DeletePasswordConfirmations voids the reset links of an account.
-- name: DeletePasswordConfirmations :execrows
DELETE FROM confirmation WHERE account_id = @account_id AND purpose = 'password';

-- name: ListConfirmations :many
SELECT * FROM confirmation WHERE account_id = @account_id ORDER BY purpose;

-- name: DeleteAccountConfirmations :execrows
DELETE FROM confirmation WHERE account_id = @account_id;

-- DeleteConfirmationsByPurpose voids the links of all accounts with a purpose.
-- name: DeleteConfirmationsByPurpose :execrows
DELETE FROM confirmation WHERE purpose = @purpose;

-- ListConfirmationIDs and DeleteExpiredConfirmations walk through all links. Used links have no row.
-- name: ListConfirmationIDs :many
SELECT id FROM confirmation WHERE id > @after ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteExpiredConfirmations :execrows
DELETE FROM confirmation WHERE id >= @first AND id <= @last AND expires_at <= @before;
