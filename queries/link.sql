-- UpsertLink stores a link and replaces an older one with the same purpose.
-- name: UpsertLink :exec
INSERT INTO link (id, account_id, purpose, key_hash, address, created_at, expires_at)
VALUES (@id, @account_id, @purpose, @key_hash, @address, @created_at, @expires_at)
ON CONFLICT (account_id, purpose) DO UPDATE SET
    id = excluded.id, key_hash = excluded.key_hash, address = excluded.address,
    created_at = excluded.created_at, expires_at = excluded.expires_at;

-- name: GetLink :one
SELECT * FROM link WHERE account_id = @account_id AND purpose = @purpose;

-- GetLinkByKey returns the valid link with a key.
-- name: GetLinkByKey :one
SELECT * FROM link WHERE key_hash = @key_hash AND expires_at > @now;

-- ConsumeLink deletes a valid link and returns it. Of several requests at the same time, one gets the row.
-- name: ConsumeLink :one
DELETE FROM link WHERE key_hash = @key_hash AND expires_at > @now RETURNING *;

-- name: DeleteLink :execrows
DELETE FROM link WHERE account_id = @account_id AND purpose = @purpose;

-- name: ListLinks :many
SELECT * FROM link WHERE account_id = @account_id ORDER BY purpose;

-- name: DeleteAccountLinks :execrows
DELETE FROM link WHERE account_id = @account_id;

-- DeleteLinksExcept voids the links of all accounts, except those with one purpose.
-- name: DeleteLinksExcept :execrows
DELETE FROM link WHERE purpose <> @keep;

-- IsAddressReserved returns a row if another account can undo a change of its address, and so return to this one. On PostgreSQL it must be a
-- statement after the one that sets the address of an account: that one waits for the change in progress, and this one sees its link.
-- name: IsAddressReserved :one
SELECT account_id FROM link
WHERE address = @address AND purpose = 'email_undo' AND expires_at > @reserved_after AND account_id <> @account_id
LIMIT 1;

-- ListLinkIDs and DeleteExpiredLinks walk through all links. Used links have no row.
-- name: ListLinkIDs :many
SELECT id FROM link WHERE id > @after ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteExpiredLinks :execrows
DELETE FROM link WHERE id >= @first AND id <= @last AND expires_at <= @before;
