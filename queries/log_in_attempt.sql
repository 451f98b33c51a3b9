-- name: InsertLogInAttempt :exec
INSERT INTO log_in_attempt (id, source_key, account_key, delay_key, expires_at)
VALUES (@id, @source_key, @account_key, @delay_key, @expires_at);

-- CountLogInAttempts counts the log-ins under way that share a source, an account or a delay with one that wants to begin. The caller has
-- locked the rows of all three, so that none begins meanwhile. A row that expires later than any can was written before the clock was
-- set back, and counts no more. There are only as many rows as passwords are being compared: no index is worth its upkeep.
-- name: CountLogInAttempts :one
SELECT
    count(CASE WHEN source_key = @source_key THEN 1 END) AS of_source,
    count(CASE WHEN account_key = @account_key THEN 1 END) AS of_account,
    count(CASE WHEN delay_key = @delay_key THEN 1 END) AS of_delay
FROM log_in_attempt WHERE expires_at > @now AND expires_at <= @latest;

-- EndLogInAttempt ends a log-in and says when it would have lapsed. No row: it has.
-- name: EndLogInAttempt :one
DELETE FROM log_in_attempt WHERE id = @id RETURNING expires_at;

-- DeleteLapsedLogInAttempts removes what processes left that were killed.
-- name: DeleteLapsedLogInAttempts :execrows
DELETE FROM log_in_attempt WHERE expires_at <= @before;
