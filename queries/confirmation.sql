-- PutConfirmation makes a link, in place of an older one for the same purpose.
-- name: PutConfirmation :exec
INSERT INTO confirmation (id, account_id, purpose, key_hash, created_at, expires_at)
VALUES (@id, @account_id, @purpose, @key_hash, @created_at, @expires_at)
ON CONFLICT (account_id, purpose) DO UPDATE SET
    id = excluded.id, key_hash = excluded.key_hash, created_at = excluded.created_at, expires_at = excluded.expires_at;

-- name: GetConfirmation :one
SELECT * FROM confirmation WHERE account_id = @account_id AND purpose = @purpose;

-- FindConfirmation finds the link of a key, and leaves it as it is.
-- name: FindConfirmation :one
SELECT * FROM confirmation WHERE key_hash = @key_hash AND expires_at > @now;

-- UseConfirmation uses a link up: of several at once, one gets the row.
-- name: UseConfirmation :one
DELETE FROM confirmation WHERE key_hash = @key_hash AND expires_at > @now RETURNING *;

-- name: DeleteConfirmation :exec
DELETE FROM confirmation WHERE account_id = @account_id AND purpose = @purpose;

-- DeleteResetLinks voids the links of an account that reset its password.
-- name: DeleteResetLinks :execrows
DELETE FROM confirmation WHERE account_id = @account_id AND purpose = 'password';

-- name: ListConfirmations :many
SELECT * FROM confirmation WHERE account_id = @account_id ORDER BY purpose;

-- name: DeleteAccountConfirmations :execrows
DELETE FROM confirmation WHERE account_id = @account_id;

-- DeleteAllConfirmations voids the links for a purpose, whosoever they are.
-- name: DeleteAllConfirmations :execrows
DELETE FROM confirmation WHERE purpose = @purpose;

-- ListLinksFrom and DeleteExpiredLinks go through all links: there are only those that were not used.
-- name: ListLinksFrom :many
SELECT id FROM confirmation WHERE id > @after ORDER BY id LIMIT CAST(@most AS bigint);

-- name: DeleteExpiredLinks :execrows
DELETE FROM confirmation WHERE id >= @first AND id <= @last AND expires_at <= @before;
