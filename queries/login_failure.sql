-- LockLoginFailure returns the row that counts failed logins, creates it if it is missing, and locks it until the transaction ends. The row
-- of an address may be older than its account.
-- name: LockLoginFailure :one
INSERT INTO login_failure (key, account_id, failures, recent_failures, delay, last_failed_at) VALUES (@key, @account_id, 0, 0, 0, 0)
ON CONFLICT (key) DO UPDATE SET account_id = excluded.account_id
RETURNING *;

-- UpdateLoginFailure requires the lock of LockLoginFailure.
-- name: UpdateLoginFailure :exec
UPDATE login_failure SET
    failures = @failures, recent_failures = @recent_failures, delay = @delay, last_failed_at = @last_failed_at
WHERE key = @key;

-- name: GetLoginFailure :one
SELECT * FROM login_failure WHERE key = @key;

-- DeleteLoginFailures ends an account's series of failures after a success.
-- name: DeleteLoginFailures :exec
DELETE FROM login_failure WHERE account_id = @account_id;

-- ListStaleLoginFailures lists old failures with addresses that have no account, and old rows without failures.
-- name: ListStaleLoginFailures :many
SELECT key FROM login_failure
WHERE key > @after AND (account_id IS NULL OR failures = 0) AND last_failed_at < @before
ORDER BY key LIMIT CAST(@max_rows AS bigint);

-- name: DeleteStaleLoginFailures :execrows
DELETE FROM login_failure
WHERE key >= @first AND key <= @last AND (account_id IS NULL OR failures = 0) AND last_failed_at < @before;

-- ListLoginFailures lists the failed logins of an account: one row for the account, and one for each client IP that it knows.
-- name: ListLoginFailures :many
SELECT * FROM login_failure WHERE account_id = @account_id ORDER BY last_failed_at DESC, key LIMIT CAST(@max_rows AS bigint);
