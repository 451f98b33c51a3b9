-- TryLogIn counts a log-in as failed before it is tried. No row: it is too early.
-- The first tries cost nothing; each one after that doubles the delay before the next, up to the longest.
-- name: TryLogIn :one
INSERT INTO log_in_failure (key, account_id, failures, tries, delay, tried_at)
VALUES (@key, @account_id, 1, 1, CASE WHEN CAST(@free AS bigint) > 1 THEN 0 ELSE CAST(@shortest AS bigint) END, @now)
ON CONFLICT (key) DO UPDATE SET
    failures = log_in_failure.failures + 1,
    tries = CASE WHEN log_in_failure.tried_at < CAST(@forget AS bigint) THEN 1 ELSE log_in_failure.tries + 1 END,
    delay = CASE
        WHEN log_in_failure.tried_at < CAST(@forget AS bigint) THEN excluded.delay
        WHEN log_in_failure.tries + 1 < CAST(@free AS bigint) THEN 0
        WHEN log_in_failure.delay = 0 THEN CAST(@shortest AS bigint)
        WHEN log_in_failure.delay * 2 > CAST(@longest AS bigint) THEN CAST(@longest AS bigint)
        ELSE log_in_failure.delay * 2
    END,
    tried_at = excluded.tried_at
WHERE log_in_failure.tried_at + log_in_failure.delay <= excluded.tried_at
RETURNING *;

-- name: GetLogInFailure :one
SELECT * FROM log_in_failure WHERE key = @key;

-- CountLogInFailure counts a failure of an account that is not delayed by it.
-- name: CountLogInFailure :one
UPDATE log_in_failure SET failures = failures + 1 WHERE key = @key RETURNING failures;

-- TakeBackLogInTry says that a try has not been one: no password was compared. The next one need not wait for it.
-- name: TakeBackLogInTry :exec
UPDATE log_in_failure SET
    failures = failures - 1,
    tries = tries - 1,
    delay = CASE WHEN tries <= CAST(@free AS bigint) THEN 0 ELSE delay / 2 END,
    tried_at = CASE WHEN tried_at = CAST(@tried_at AS bigint) THEN tried_at - delay ELSE tried_at END
WHERE key = @key AND failures > 0 AND tries > 0;

-- ForgetLogInFailures ends the row of failures with a success.
-- name: ForgetLogInFailures :exec
DELETE FROM log_in_failure WHERE account_id = @account_id;

-- ListForgottenLogInFailures finds old failures with addresses that are nobody's.
-- name: ListForgottenLogInFailures :many
SELECT key FROM log_in_failure WHERE key > @after AND account_id IS NULL AND tried_at < @before ORDER BY key LIMIT CAST(@most AS bigint);

-- name: DeleteForgottenLogInFailures :execrows
DELETE FROM log_in_failure WHERE key >= @first AND key <= @last AND account_id IS NULL AND tried_at < @before;
