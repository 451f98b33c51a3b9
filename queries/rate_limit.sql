-- LockRateLimit returns the row of a limit, creates it if it is missing, and locks it until the transaction ends. (The UPDATE changes
-- nothing. SQLite has no SELECT FOR UPDATE.)
-- name: LockRateLimit :one
INSERT INTO rate_limit (key, full_at, seen_at) VALUES (@key, 0, 0)
ON CONFLICT (key) DO UPDATE SET full_at = rate_limit.full_at
RETURNING *;

-- UpdateRateLimit requires the lock of LockRateLimit.
-- name: UpdateRateLimit :exec
UPDATE rate_limit SET full_at = @full_at, seen_at = @seen_at WHERE key = @key;

-- name: GetRateLimit :one
SELECT * FROM rate_limit WHERE key = @key;

-- ListFullRateLimits and DeleteFullRateLimits walk through the limits whose whole quota is available again.
-- name: ListFullRateLimits :many
SELECT key FROM rate_limit WHERE key > @after AND full_at <= @before ORDER BY key LIMIT CAST(@max_rows AS bigint);

-- name: DeleteFullRateLimits :execrows
DELETE FROM rate_limit WHERE key >= @first AND key <= @last AND full_at <= @before;
