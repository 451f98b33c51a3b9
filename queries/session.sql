-- name: InsertSession :exec
INSERT INTO session (
    id, account_id, generation, client_id, platform, remote_addr, created_at, refreshed_at, authenticated_at, methods
)
VALUES (@id, @account_id, 1, @client_id, @platform, @remote_addr, @now, @now, @authenticated_at, @methods);

-- RotateSession is the whole of a refresh: of several requests at the same time with one token, one gets the row.
-- A replica whose clock is behind does not set refreshed_at back; otherwise DeleteExcessSessions would end the session too early. A time
-- after far_ahead comes from a clock that was wrong, and is overwritten.
-- name: RotateSession :one
UPDATE session SET generation = generation + 1, remote_addr = @remote_addr,
    refreshed_at = CASE WHEN refreshed_at > @now AND refreshed_at <= @far_ahead THEN refreshed_at ELSE @now END
WHERE id = @id AND generation = @generation AND created_at > @created_after
RETURNING *;

-- AdvanceSession does the same to a session of an account without looking at the presented token, so that every older one is used. No row:
-- the session has ended. The user has authenticated for it.
-- name: AdvanceSession :one
UPDATE session SET generation = generation + 1, remote_addr = @remote_addr, authenticated_at = @authenticated_at, methods = @methods,
    refreshed_at = CASE WHEN refreshed_at > @now AND refreshed_at <= @far_ahead THEN refreshed_at ELSE @now END
WHERE id = @id AND account_id = @account_id AND created_at > @created_after AND refreshed_at > @refreshed_after
RETURNING *;

-- LastRefreshedAt returns the newest refresh or login of an account, without those of a clock that was far ahead.
-- name: LastRefreshedAt :one
SELECT refreshed_at FROM session WHERE account_id = @account_id AND refreshed_at <= @far_ahead
ORDER BY refreshed_at DESC LIMIT 1;

-- name: GetSession :one
SELECT * FROM session WHERE id = @id;

-- RecordAuthentication records that the user has authenticated again in a session. No row: the session has ended.
-- name: RecordAuthentication :one
UPDATE session SET authenticated_at = @authenticated_at, methods = @methods, remote_addr = @remote_addr
WHERE id = @id AND account_id = @account_id AND created_at > @created_after AND refreshed_at > @refreshed_after
RETURNING *;

-- GetActiveSession returns a session that an active account can still refresh.
-- name: GetActiveSession :one
SELECT session.* FROM session
JOIN account ON account.id = session.account_id
WHERE session.id = @id AND session.account_id = @account_id
    AND session.created_at > @created_after AND session.refreshed_at > @refreshed_after
    AND account.disabled_at IS NULL;

-- name: ListSessions :many
SELECT * FROM session
WHERE account_id = @account_id AND created_at > @created_after AND refreshed_at > @refreshed_after
ORDER BY refreshed_at DESC, id;

-- ListStoredSessions lists the sessions of an account, also those that have expired and are not deleted yet.
-- name: ListStoredSessions :many
SELECT * FROM session WHERE account_id = @account_id ORDER BY refreshed_at DESC, id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteSession :execrows
DELETE FROM session WHERE id = @id AND account_id = @account_id;

-- DeleteOtherSessions ends all sessions of an account but one.
-- name: DeleteOtherSessions :execrows
DELETE FROM session WHERE account_id = @account_id AND id <> @keep;

-- name: DeleteAccountSessions :execrows
DELETE FROM session WHERE account_id = @account_id;

-- ListAllSessions lists the sessions that can be refreshed, the newest first: IDs are in order of time.
-- name: ListAllSessions :many
SELECT * FROM session
WHERE id < @before AND created_at > @created_after AND refreshed_at > @refreshed_after
ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- DeleteSessionByID ends a session of any account.
-- name: DeleteSessionByID :one
DELETE FROM session WHERE id = @id RETURNING *;

-- LastSessionID is where a walk through all sessions ends. No row: there are no sessions.
-- name: LastSessionID :one
SELECT id FROM session ORDER BY id DESC LIMIT 1;

-- name: ListSessionIDs :many
SELECT id FROM session WHERE id > @after AND id <= @last ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- DeleteSessionRange ends the sessions from one ID to another, both included.
-- name: DeleteSessionRange :execrows
DELETE FROM session WHERE id >= @first AND id <= @last;

-- DeleteExcessSessions ends the sessions of an account that were refreshed longest ago. It keeps one session and max_others others. The
-- caller has locked the account, so that no session begins meanwhile.
-- name: DeleteExcessSessions :execrows
DELETE FROM session WHERE session.account_id = @account_id AND session.id <> @keep AND session.id NOT IN (
    SELECT s.id FROM session AS s WHERE s.account_id = @account_id AND s.id <> @keep
    ORDER BY s.refreshed_at DESC, s.id DESC LIMIT CAST(@max_others AS bigint)
);

-- ListSessionIDsBefore lists the sessions that began before a time: IDs are in order of time. refreshed_at has no index, so that a refresh
-- stays a HOT update.
-- name: ListSessionIDsBefore :many
SELECT id FROM session WHERE id > @after AND id < @before ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteExpiredSessions :execrows
DELETE FROM session WHERE id >= @first AND id <= @last AND (refreshed_at <= @refreshed_before OR created_at <= @created_before);
