-- name: InsertLoginAttempt :exec
INSERT INTO login_attempt (id, client_ip_key, account_key, delay_key, expires_at)
VALUES (@id, @client_ip_key, @account_key, @delay_key, @expires_at);

-- CountLoginAttempts counts the logins in progress that share a client IP, an account or a delay with a new one. The caller has locked the
-- rows of all three, so that no login begins meanwhile. A row that expires after latest was written before the clock was set back, and
-- does not count. There are only as many rows as passwords being compared, so there is no index.
-- name: CountLoginAttempts :one
SELECT
    count(CASE WHEN client_ip_key = @client_ip_key THEN 1 END) AS of_client_ip,
    count(CASE WHEN account_key = @account_key THEN 1 END) AS of_account,
    count(CASE WHEN delay_key = @delay_key THEN 1 END) AS of_delay
FROM login_attempt WHERE expires_at > @now AND expires_at <= @latest;

-- DeleteLoginAttempt ends a login in progress and returns when it would have expired. No row: it expired and was deleted.
-- name: DeleteLoginAttempt :one
DELETE FROM login_attempt WHERE id = @id RETURNING expires_at;

-- DeleteExpiredLoginAttempts deletes what killed processes left behind.
-- name: DeleteExpiredLoginAttempts :execrows
DELETE FROM login_attempt WHERE expires_at <= @before;
