-- TakeFromLimit uses one of a limit. No row: nothing is left. Of several at once, as many get a row as there was left for.
-- name: TakeFromLimit :one
INSERT INTO limit_use (key, used_until) VALUES (@key, CAST(@now AS bigint) + CAST(@cost AS bigint))
ON CONFLICT (key) DO UPDATE SET used_until =
    CASE WHEN limit_use.used_until > CAST(@now AS bigint) THEN limit_use.used_until ELSE CAST(@now AS bigint) END + CAST(@cost AS bigint)
WHERE limit_use.used_until <= CAST(@now AS bigint) + CAST(@room AS bigint)
RETURNING used_until;

-- name: GetLimitUse :one
SELECT used_until FROM limit_use WHERE key = @key;

-- GiveBackToLimit takes one use back.
-- name: GiveBackToLimit :exec
UPDATE limit_use SET used_until = used_until - CAST(@cost AS bigint) WHERE key = @key;

-- ListRefilledLimits finds limits of which nothing is used any more.
-- name: ListRefilledLimits :many
SELECT key FROM limit_use WHERE key > @after AND used_until <= @now ORDER BY key LIMIT CAST(@most AS bigint);

-- name: DeleteRefilledLimits :execrows
DELETE FROM limit_use WHERE key >= @first AND key <= @last AND used_until <= @now;
