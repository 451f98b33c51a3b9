-- name: GetTOTP :one
SELECT * FROM totp WHERE account_id = @account_id;

-- BeginTOTP stores a secret that is not confirmed yet, instead of another such secret. The confirmed one stays.
-- name: BeginTOTP :exec
INSERT INTO totp (account_id, pending_sealed, pending_at) VALUES (@account_id, @pending_sealed, @pending_at)
ON CONFLICT (account_id) DO UPDATE SET pending_sealed = excluded.pending_sealed, pending_at = excluded.pending_at;

-- ConfirmTOTP makes the new secret the secret. The step of the code with which the user confirmed it counts as used. The caller has locked the
-- account, so the new secret is the one that the caller has read; it may have been sealed anew since.
-- name: ConfirmTOTP :execrows
UPDATE totp SET
    sealed = pending_sealed,
    confirmed_at = @now,
    last_step = @step,
    pending_sealed = NULL,
    pending_at = NULL
WHERE account_id = @account_id AND pending_sealed IS NOT NULL;

-- UseTOTP uses the code of a time step. No row: that code, or a newer one, was used before.
-- name: UseTOTP :execrows
UPDATE totp SET last_step = @step WHERE account_id = @account_id AND last_step < @step AND sealed IS NOT NULL;

-- name: DeleteTOTP :execrows
DELETE FROM totp WHERE account_id = @account_id;

-- ListTOTPSealedUnder lists secrets that were sealed under an AUTH_SECRET: a sealed secret begins with its fingerprint.
-- name: ListTOTPSealedUnder :many
SELECT account_id, sealed FROM totp
WHERE account_id > @after AND substr(sealed, 1, 8) = @fingerprint
ORDER BY account_id LIMIT CAST(@max_rows AS bigint);

-- ResealTOTP stores a secret that was sealed anew. No row: another replica was faster, or the user replaced the secret.
-- name: ResealTOTP :execrows
UPDATE totp SET sealed = @sealed WHERE account_id = @account_id AND sealed = @old_sealed;

-- CountTOTPSealedOutside counts the secrets that were sealed under neither of two AUTH_SECRETs.
-- name: CountTOTPSealedOutside :one
SELECT count(*) FROM totp WHERE sealed IS NOT NULL AND substr(sealed, 1, 8) <> @first AND substr(sealed, 1, 8) <> @second;

-- DeleteTOTPSealedOutside deletes them: nothing opens them any more.
-- name: DeleteTOTPSealedOutside :execrows
DELETE FROM totp WHERE sealed IS NOT NULL AND substr(sealed, 1, 8) <> @first AND substr(sealed, 1, 8) <> @second;

-- ListTOTPAccounts, DeleteOldBegunTOTP and ForgetOldPendingTOTP walk through the secrets that were not confirmed in time. A confirmed secret stays.
-- name: ListTOTPAccounts :many
SELECT account_id FROM totp WHERE account_id > @after AND pending_at <= @before ORDER BY account_id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteOldBegunTOTP :execrows
DELETE FROM totp WHERE account_id >= @first AND account_id <= @last AND pending_at <= @before AND sealed IS NULL;

-- name: ForgetOldPendingTOTP :execrows
UPDATE totp SET pending_sealed = NULL, pending_at = NULL
WHERE account_id >= @first AND account_id <= @last AND pending_at <= @before AND sealed IS NOT NULL;

-- ForgetPendingTOTP deletes the secret that is not confirmed. The confirmed one stays.
-- name: ForgetPendingTOTP :exec
UPDATE totp SET pending_sealed = NULL, pending_at = NULL WHERE account_id = @account_id AND sealed IS NOT NULL;
