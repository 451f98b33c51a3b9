-- name: InsertResetRequest :exec
INSERT INTO reset_request (id, email, request_id, remote_addr, created_at)
VALUES (@id, @email, @request_id, @remote_addr, @now);

-- ListResetRequests finds those that wait, the oldest first, as the replicas' clocks have it. Of two for one address, which are
-- seconds apart, the one that is done last has the link that works, and so has the mail that is queued last.
-- name: ListResetRequests :many
SELECT id FROM reset_request ORDER BY id LIMIT CAST(@most AS bigint);

-- TakeResetRequest hands a request to one of those who saw it. No row: another was faster.
-- name: TakeResetRequest :one
DELETE FROM reset_request WHERE id = @id RETURNING *;

-- name: DeleteResetRequests :exec
DELETE FROM reset_request WHERE email = @email;
