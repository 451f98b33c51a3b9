-- name: InsertInvite :execrows
INSERT INTO invite (id, code_hash, max_uses, uses, reserved, created_at, expires_at)
VALUES (@id, @code_hash, @max_uses, 0, 0, @created_at, @expires_at)
ON CONFLICT (code_hash) DO NOTHING;

-- LockInviteByCode returns a usable invite and locks it until the transaction ends, so that sign-ups with one invite count its uses one
-- after another. (The UPDATE changes nothing. SQLite has no SELECT FOR UPDATE.)
-- name: LockInviteByCode :one
UPDATE invite SET uses = uses
WHERE code_hash = @code_hash AND expires_at > @now AND revoked_at IS NULL
RETURNING *;

-- SetInviteReserved stores the number of uses that are consumed or reserved, including the caller's.
-- name: SetInviteReserved :exec
UPDATE invite SET reserved = @reserved WHERE id = @id;

-- name: CountPendingSignUps :one
SELECT count(*) FROM account WHERE invite_id = @invite_id AND pending_until > @now;

-- ConsumeInvite consumes the use that a sign-up reserved. No row: no use is left.
-- name: ConsumeInvite :execrows
UPDATE invite SET uses = uses + 1 WHERE id = @id AND uses < max_uses;

-- ListInvites lists the newest invites first: IDs are in order of time.
-- name: ListInvites :many
SELECT
    invite.id, invite.max_uses, invite.uses, invite.created_at, invite.expires_at, invite.revoked_at,
    (SELECT count(*) FROM account WHERE account.invite_id = invite.id AND account.pending_until > @now) AS pending
FROM invite
WHERE invite.id < @before
ORDER BY invite.id DESC LIMIT CAST(@max_rows AS bigint);

-- name: RevokeInvite :execrows
UPDATE invite SET revoked_at = @now WHERE id = @id AND revoked_at IS NULL;

-- name: GetInviteByCode :one
SELECT * FROM invite WHERE code_hash = @code_hash;

-- LockInviteByID locks an invite until the transaction ends.
-- name: LockInviteByID :exec
UPDATE invite SET uses = uses WHERE id = @id;

-- DecrementInviteUses returns the use that a confirmed account consumed.
-- name: DecrementInviteUses :exec
UPDATE invite SET uses = uses - 1 WHERE id = @id AND uses > 0;
