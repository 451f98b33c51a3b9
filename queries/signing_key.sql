-- InsertSigningKey adds the next key. No row: another replica made the key with this number.
-- name: InsertSigningKey :execrows
INSERT INTO signing_key (id, number, algorithm, sealed, created_at, active_at, previous_secret_fingerprint)
VALUES (@id, @number, @algorithm, @sealed, @created_at, @active_at, @previous_secret_fingerprint)
ON CONFLICT (number) DO NOTHING;

-- name: ListSigningKeys :many
SELECT * FROM signing_key ORDER BY number;

-- name: DeleteSigningKey :exec
DELETE FROM signing_key WHERE id = @id;

-- ResealSigningKey replaces the encrypted form of a key. No row: another replica has replaced it meanwhile.
-- name: ResealSigningKey :execrows
UPDATE signing_key SET sealed = @sealed, previous_secret_fingerprint = @previous_secret_fingerprint
WHERE id = @id AND sealed = @old_sealed;

-- ActivateSigningKey lets a published key sign from now on. No row: the key does not exist, or signs already.
-- name: ActivateSigningKey :execrows
UPDATE signing_key SET active_at = @now WHERE id = @id AND active_at > @now;

-- DeleteOlderSigningKeys deletes the keys that were made before a key.
-- name: DeleteOlderSigningKeys :execrows
DELETE FROM signing_key WHERE number < @number;
