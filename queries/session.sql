-- name: InsertSession :exec
INSERT INTO session (id, account_id, generation, client_id, platform, remote_addr, created_at, refreshed_at)
VALUES (@id, @account_id, 1, @client_id, @platform, @remote_addr, @now, @now);

-- RotateSession is the whole of a refresh: of several at once with one token, one gets the row.
-- A replica whose clock is behind does not set refreshed_at back: the cap would take the session for one that was refreshed long
-- ago. A time after far_ahead comes from a clock that was wrong, and gives way.
-- name: RotateSession :one
UPDATE session SET generation = generation + 1, remote_addr = @remote_addr,
    refreshed_at = CASE WHEN refreshed_at > @now AND refreshed_at <= @far_ahead THEN refreshed_at ELSE @now END
WHERE id = @id AND generation = @generation AND created_at > @created_after
RETURNING *;

-- NewestRefresh is the newest refresh or log-in of an account, without those from a clock that was far ahead.
-- name: NewestRefresh :one
SELECT refreshed_at FROM session WHERE account_id = @account_id AND refreshed_at <= @far_ahead
ORDER BY refreshed_at DESC LIMIT 1;

-- name: GetSession :one
SELECT * FROM session WHERE id = @id;

-- IsSessionAlive tells whether a session can still be refreshed by an active account. No row: it can not.
-- name: IsSessionAlive :one
SELECT session.id FROM session
JOIN account ON account.id = session.account_id
WHERE session.id = @id AND session.account_id = @account_id
    AND session.created_at > @created_after AND session.refreshed_at > @refreshed_after
    AND account.disabled_at IS NULL;

-- name: ListSessions :many
SELECT * FROM session
WHERE account_id = @account_id AND created_at > @created_after AND refreshed_at > @refreshed_after
ORDER BY refreshed_at DESC, id;

-- name: DeleteSession :execrows
DELETE FROM session WHERE id = @id AND account_id = @account_id;

-- name: DeleteAccountSessions :execrows
DELETE FROM session WHERE account_id = @account_id;

-- ListAllSessions lists those that can be refreshed, the newest first: ids are in order of time.
-- name: ListAllSessions :many
SELECT * FROM session
WHERE id < @before AND created_at > @created_after AND refreshed_at > @refreshed_after
ORDER BY id DESC LIMIT CAST(@most AS bigint);

-- EndSession ends a session whosoever it is.
-- name: EndSession :one
DELETE FROM session WHERE id = @id RETURNING *;

-- LastSession is the end of a walk through all sessions that there are now. No row: there is none.
-- name: LastSession :one
SELECT id FROM session ORDER BY id DESC LIMIT 1;

-- ListSessionsFrom finds the next sessions to end.
-- name: ListSessionsFrom :many
SELECT id FROM session WHERE id > @after AND id <= @last ORDER BY id LIMIT CAST(@most AS bigint);

-- EndSessions ends those after one id up to another.
-- name: EndSessions :execrows
DELETE FROM session WHERE id > @after AND id <= @last;

-- EndSessionsBeyond ends those of an account that were refreshed longest ago, and keeps one and so many besides it. The caller has
-- the account's row, so that nobody begins another one meanwhile.
-- name: EndSessionsBeyond :execrows
DELETE FROM session WHERE session.account_id = @account_id AND session.id <> @one AND session.id NOT IN (
    SELECT s.id FROM session AS s WHERE s.account_id = @account_id AND s.id <> @one
    ORDER BY s.refreshed_at DESC, s.id DESC LIMIT CAST(@besides AS bigint)
);

-- ListSessionsBefore goes through the sessions that began before a time: ids are in order of time. There is no index by the
-- time of the refresh, so that a refresh stays a HOT update.
-- name: ListSessionsBefore :many
SELECT id FROM session WHERE id > @after AND id < @before ORDER BY id LIMIT CAST(@most AS bigint);

-- name: DeleteExpiredSessions :execrows
DELETE FROM session WHERE id >= @first AND id <= @last AND (refreshed_at <= @refreshed_before OR created_at <= @created_before);
