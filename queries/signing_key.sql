-- InsertSigningKey adds the next key. No row: another replica made the key of this number.
-- name: InsertSigningKey :execrows
INSERT INTO signing_key (id, number, algorithm, sealed, created_at, active_at, sealed_before)
VALUES (@id, @number, @algorithm, @sealed, @created_at, @active_at, @sealed_before)
ON CONFLICT (number) DO NOTHING;

-- name: ListSigningKeys :many
SELECT * FROM signing_key ORDER BY number;

-- name: DeleteSigningKey :exec
DELETE FROM signing_key WHERE id = @id;

-- ResealSigningKey replaces the seal of a key. No row: it has another one meanwhile.
-- name: ResealSigningKey :execrows
UPDATE signing_key SET sealed = @sealed, sealed_before = @sealed_before WHERE id = @id AND sealed = @was;

-- ActivateSigningKey lets a key that is published sign from now on. No row: it is gone, or signs already.
-- name: ActivateSigningKey :execrows
UPDATE signing_key SET active_at = @now WHERE id = @id AND active_at > @now;

-- DeleteOlderSigningKeys takes all keys away that were made before one.
-- name: DeleteOlderSigningKeys :execrows
DELETE FROM signing_key WHERE number < @number;
