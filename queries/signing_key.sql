-- InsertSigningKey adds the next key. No row: another replica made the key of this number.
-- name: InsertSigningKey :execrows
INSERT INTO signing_key (id, number, algorithm, sealed, created_at, active_at)
VALUES (@id, @number, @algorithm, @sealed, @created_at, @active_at)
ON CONFLICT (number) DO NOTHING;

-- name: ListSigningKeys :many
SELECT * FROM signing_key ORDER BY number;

-- name: DeleteSigningKey :exec
DELETE FROM signing_key WHERE id = @id;
