-- GetSecondFactor counts what a user has as a second factor. A passkey for another domain does not work and does not count.
-- name: GetSecondFactor :one
SELECT
    (SELECT count(*) FROM totp WHERE totp.account_id = @account_id AND totp.sealed IS NOT NULL) AS totp,
    (SELECT count(*) FROM passkey WHERE passkey.account_id = @account_id AND passkey.rp_id = @rp_id) AS usable_passkeys,
    (SELECT count(*) FROM passkey WHERE passkey.account_id = @account_id) AS passkeys,
    (SELECT count(*) FROM recovery_code WHERE recovery_code.account_id = @account_id) AS recovery_codes;

-- name: SetSecondFactorSince :exec
UPDATE account SET second_factor_since = @since WHERE id = @id;

-- RecordSecondFactorFailure counts a wrong second factor after a right password. The caller has locked the account.
-- name: RecordSecondFactorFailure :exec
UPDATE account SET second_factor_failures = second_factor_failures + 1 WHERE id = @id;

-- ForgetSecondFactorFailures begins the count anew after a right second factor.
-- name: ForgetSecondFactorFailures :exec
UPDATE account SET second_factor_failures = 0 WHERE id = @id;

-- MarkSecondFactorNotified records when the user was told about wrong second factors.
-- name: MarkSecondFactorNotified :exec
UPDATE account SET second_factor_notified_at = @now WHERE id = @id;

-- TurnSecondFactorOff makes the password enough for a login again. The caller deletes the TOTP secret and the recovery codes.
-- name: TurnSecondFactorOff :exec
UPDATE account SET second_factor_since = NULL, second_factor_failures = 0 WHERE id = @id;
