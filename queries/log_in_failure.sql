-- LockLogInFailure finds or makes the row that counts failed log-ins, and locks it until the transaction ends. Under an address, the row
-- may be older than the account.
-- name: LockLogInFailure :one
INSERT INTO log_in_failure (key, account_id, failures, tries, delay, tried_at) VALUES (@key, @account_id, 0, 0, 0, 0)
ON CONFLICT (key) DO UPDATE SET account_id = excluded.account_id
RETURNING *;

-- SetLogInFailure is for whoever has locked the row.
-- name: SetLogInFailure :exec
UPDATE log_in_failure SET failures = @failures, tries = @tries, delay = @delay, tried_at = @tried_at WHERE key = @key;

-- name: GetLogInFailure :one
SELECT * FROM log_in_failure WHERE key = @key;

-- DeleteLogInFailures ends the row of failures with a success.
-- name: DeleteLogInFailures :exec
DELETE FROM log_in_failure WHERE account_id = @account_id;

-- ListForgottenLogInFailures finds old failures with addresses that are nobody's, and rows that count none.
-- name: ListForgottenLogInFailures :many
SELECT key FROM log_in_failure
WHERE key > @after AND (account_id IS NULL OR failures = 0) AND tried_at < @before ORDER BY key LIMIT CAST(@most AS bigint);

-- name: DeleteForgottenLogInFailures :execrows
DELETE FROM log_in_failure
WHERE key >= @first AND key <= @last AND (account_id IS NULL OR failures = 0) AND tried_at < @before;
