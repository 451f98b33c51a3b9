-- name: InsertResetRequest :exec
INSERT INTO reset_request (id, email, request_id, remote_addr, created_at, choose_password)
VALUES (@id, @email, @request_id, @remote_addr, @now, @choose_password);

-- ListResetRequests lists the due requests, the oldest first by the clocks of the replicas. Of two requests for one address, seconds apart,
-- the one processed last has the link that works and the mail that is enqueued last.
-- name: ListResetRequests :many
SELECT id FROM reset_request WHERE due_at IS NULL OR due_at <= @now ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- ClaimResetRequest deletes a request and returns it to one of several workers. No row: another was faster.
-- name: ClaimResetRequest :one
DELETE FROM reset_request WHERE id = @id RETURNING *;

-- DeferResetRequest counts a failed attempt and sets when the next is due. Several replicas that fail at the same time count once.
-- name: DeferResetRequest :exec
UPDATE reset_request SET attempts = attempts + 1, due_at = CAST(@due_at AS timestamptz)
WHERE id = @id AND (due_at IS NULL OR due_at <= @now);

-- name: GetResetAttempts :one
SELECT attempts FROM reset_request WHERE id = @id;

-- ListStaleResetRequests lists the requests that are too old or have failed too often.
-- name: ListStaleResetRequests :many
SELECT id FROM reset_request WHERE created_at < @created_before OR attempts >= @max_attempts ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteResetRequests :exec
DELETE FROM reset_request WHERE email = @email;
