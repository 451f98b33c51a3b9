-- LockLimit finds or makes a limit's row, and locks it until the transaction ends. (An UPDATE that changes nothing: SQLite has no
-- FOR UPDATE.)
-- name: LockLimit :one
INSERT INTO limit_use (key, used_until, seen_at) VALUES (@key, 0, 0)
ON CONFLICT (key) DO UPDATE SET used_until = limit_use.used_until
RETURNING *;

-- SetLimitUse is for whoever has locked the row.
-- name: SetLimitUse :exec
UPDATE limit_use SET used_until = @used_until, seen_at = @seen_at WHERE key = @key;

-- name: GetLimitUse :one
SELECT * FROM limit_use WHERE key = @key;

-- ListRefilledLimits finds limits of which nothing is used any more.
-- name: ListRefilledLimits :many
SELECT key FROM limit_use WHERE key > @after AND used_until <= @before ORDER BY key LIMIT CAST(@most AS bigint);

-- name: DeleteRefilledLimits :execrows
DELETE FROM limit_use WHERE key >= @first AND key <= @last AND used_until <= @before;
