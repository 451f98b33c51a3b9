-- name: InsertInvite :execrows
INSERT INTO invite (id, code_hash, max_uses, uses, taken, created_at, expires_at)
VALUES (@id, @code_hash, @max_uses, 0, 0, @created_at, @expires_at)
ON CONFLICT (code_hash) DO NOTHING;

-- LockInvite finds a usable invite and holds its row to the end of the transaction, so that sign-ups with
-- one invite count its uses one after another. (An UPDATE that changes nothing: SQLite has no FOR UPDATE.)
-- name: LockInvite :one
UPDATE invite SET uses = uses
WHERE code_hash = @code_hash AND expires_at > @now AND revoked_at IS NULL
RETURNING *;

-- TakeInviteUse counts a sign-up's use. taken is what the invite's row had, or has been found to be by counting.
-- name: TakeInviteUse :exec
UPDATE invite SET taken = @taken WHERE id = @id;

-- name: CountPendingSignUps :one
SELECT count(*) FROM account WHERE invite_id = @invite_id AND pending_until > @now;

-- SpendInvite turns the use that an account's sign-up held into a spent one. No row: none is left.
-- name: SpendInvite :execrows
UPDATE invite SET uses = uses + 1 WHERE id = @id AND uses < max_uses;

-- ListInvites lists the newest first: ids are in order of time.
-- name: ListInvites :many
SELECT
    invite.id, invite.max_uses, invite.uses, invite.created_at, invite.expires_at, invite.revoked_at,
    (SELECT count(*) FROM account WHERE account.invite_id = invite.id AND account.pending_until > @now) AS pending
FROM invite
WHERE invite.id < @before
ORDER BY invite.id DESC LIMIT CAST(@most AS bigint);

-- name: RevokeInvite :execrows
UPDATE invite SET revoked_at = @now WHERE id = @id AND revoked_at IS NULL;

-- name: GetInviteByCode :one
SELECT * FROM invite WHERE code_hash = @code_hash;

-- HoldInvite holds an invite's row to the end of the transaction.
-- name: HoldInvite :exec
UPDATE invite SET uses = uses WHERE id = @id;

-- ReturnInviteUse gives back the use that a confirmed account had spent.
-- name: ReturnInviteUse :exec
UPDATE invite SET uses = uses - 1 WHERE id = @id AND uses > 0;
