-- name: InsertRecoveryCode :exec
INSERT INTO recovery_code (code_hash, account_id, created_at) VALUES (@code_hash, @account_id, @created_at);

-- UseRecoveryCode deletes a code of an account. No row: the account has no such code, or another request used it.
-- name: UseRecoveryCode :execrows
DELETE FROM recovery_code WHERE code_hash = @code_hash AND account_id = @account_id;

-- name: CountRecoveryCodes :one
SELECT count(*) FROM recovery_code WHERE account_id = @account_id;

-- name: DeleteRecoveryCodes :execrows
DELETE FROM recovery_code WHERE account_id = @account_id;

-- name: ListRecoveryCodeTimes :many
SELECT created_at FROM recovery_code WHERE account_id = @account_id ORDER BY created_at DESC;

-- DeleteRecoveryCodesSince deletes the codes of an account if they were created at a time or later.
-- name: DeleteRecoveryCodesSince :execrows
DELETE FROM recovery_code WHERE account_id = @account_id AND created_at >= @since;
