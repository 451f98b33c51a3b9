-- name: InsertPasskey :exec
INSERT INTO passkey (
    id, account_id, rp_id, credential_id, public_key, sign_count, flags, transports, name, created_at
) VALUES (
    @id, @account_id, @rp_id, @credential_id, @public_key, @sign_count, @flags, @transports, @name, @created_at
);

-- name: ListPasskeys :many
SELECT * FROM passkey WHERE account_id = @account_id ORDER BY id;

-- name: GetPasskeyByCredentialID :one
SELECT * FROM passkey WHERE credential_id = @credential_id;

-- GetPasskeyKey returns only what a signature is verified with, so that an unknown passkey takes hardly less time.
-- name: GetPasskeyKey :one
SELECT account_id, rp_id, public_key FROM passkey WHERE credential_id = @credential_id;

-- RecordPasskeyUse stores what an authentication has changed. No row: the counter has not risen since, so another authentication was faster,
-- or the passkey was removed.
-- name: RecordPasskeyUse :execrows
UPDATE passkey SET sign_count = @sign_count, flags = @flags, used_at = @now
WHERE id = @id AND (sign_count < @sign_count OR (sign_count = 0 AND @sign_count = 0));

-- name: RenamePasskey :execrows
UPDATE passkey SET name = @name WHERE id = @id AND account_id = @account_id;

-- name: DeletePasskey :execrows
DELETE FROM passkey WHERE id = @id AND account_id = @account_id;

-- InsertUsedChallenge records that a ceremony has succeeded. No row: it did so before.
-- name: InsertUsedChallenge :execrows
INSERT INTO used_challenge (hash, expires_at) VALUES (@hash, @expires_at) ON CONFLICT (hash) DO NOTHING;

-- name: ListUsedChallenges :many
SELECT hash FROM used_challenge WHERE expires_at <= @before AND hash > @after ORDER BY hash LIMIT CAST(@max_rows AS bigint);

-- name: DeleteUsedChallenges :execrows
DELETE FROM used_challenge WHERE hash BETWEEN @first AND @last AND expires_at <= @before;

-- name: DeletePasskeysSince :execrows
DELETE FROM passkey WHERE account_id = @account_id AND created_at >= @since;

-- name: DeleteAccountPasskeys :execrows
DELETE FROM passkey WHERE account_id = @account_id;
