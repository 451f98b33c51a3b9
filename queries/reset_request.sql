-- name: InsertResetRequest :exec
INSERT INTO reset_request (id, email, request_id, remote_addr, created_at)
VALUES (@id, @email, @request_id, @remote_addr, @now);

-- ListResetRequests finds those that are due, the oldest first, as the replicas' clocks have it. Of two for one address, which are
-- seconds apart, the one that is done last has the link that works, and so has the mail that is queued last.
-- name: ListResetRequests :many
SELECT id FROM reset_request WHERE due_at IS NULL OR due_at <= @now ORDER BY id LIMIT CAST(@most AS bigint);

-- TakeResetRequest hands a request to one of those who saw it. No row: another was faster.
-- name: TakeResetRequest :one
DELETE FROM reset_request WHERE id = @id RETURNING *;

-- DeferResetRequest counts an attempt that failed, and says when the next one is due. Several replicas that fail at once count once.
-- name: DeferResetRequest :exec
UPDATE reset_request SET attempts = attempts + 1, due_at = CAST(@due_at AS timestamptz)
WHERE id = @id AND (due_at IS NULL OR due_at <= @now);

-- name: GetResetAttempts :one
SELECT attempts FROM reset_request WHERE id = @id;

-- ListStaleResetRequests finds those that are too old or have failed too often.
-- name: ListStaleResetRequests :many
SELECT id FROM reset_request WHERE created_at < @created_before OR attempts >= @most_attempts ORDER BY id LIMIT CAST(@most AS bigint);

-- name: DeleteResetRequests :exec
DELETE FROM reset_request WHERE email = @email;
