-- name: GetAccount :one
SELECT * FROM account WHERE id = @id;

-- name: GetAccountByEmail :one
SELECT * FROM account WHERE email = @email;

-- InsertAccount creates an unconfirmed account. No row: the address is taken.
-- name: InsertAccount :execrows
INSERT INTO account (id, email, language, invite_id, created_at, pending_until, decoy_of)
VALUES (@id, @email, @language, @invite_id, @created_at, @pending_until, @decoy_of)
ON CONFLICT (email) DO NOTHING;

-- name: DeleteExpiredSignUpByEmail :exec
DELETE FROM account WHERE email = @email AND pending_until <= @now;

-- name: ConfirmAccount :one
UPDATE account SET pending_until = NULL WHERE id = @id AND pending_until IS NOT NULL RETURNING *;

-- NextPasswordNumber returns the number of the next mailed password, and locks the account until the transaction that enqueues the
-- mail ends. The numbers are therefore in commit order, whatever the clocks of the replicas show. No row: the account is disabled or
-- does not exist.
-- name: NextPasswordNumber :one
UPDATE account SET last_password_number = last_password_number + 1
WHERE id = @id AND disabled_at IS NULL
RETURNING last_password_number;

-- SetPendingPassword stores the password of a mail that is about to be sent. No row: the password of the same or of a newer mail is
-- stored already, or the account was disabled after the mail was enqueued, or it does not exist.
-- name: SetPendingPassword :execrows
UPDATE account SET
    pending_password_hash = @password_hash,
    pending_password_mail_id = @mail_id,
    pending_password_number = @number,
    pending_password_expires_at = @expires_at
WHERE id = @id AND pending_password_number < @number AND disabled_at IS NULL;

-- SetPendingPasswordExpiry sets when an unused mailed password expires. No row: the pending password is of another mail, or there is
-- none. Here and in ClearPendingPassword the mail's ID only identifies the password; the order of IDs does not matter.
-- name: SetPendingPasswordExpiry :execrows
UPDATE account SET pending_password_expires_at = @expires_at
WHERE pending_password_mail_id = @mail_id AND id = @id AND pending_password_hash IS NOT NULL;

-- name: ClearPendingPassword :exec
UPDATE account SET pending_password_hash = NULL, pending_password_expires_at = NULL
WHERE pending_password_mail_id = @mail_id AND id = @id;

-- RecordLoginWithPendingPassword replaces the password by the pending one. No row: that password is no longer pending, or the account
-- is not active, or it needs a second factor and second_factor is 0.
-- name: RecordLoginWithPendingPassword :execrows
UPDATE account SET
    password_hash = pending_password_hash,
    pending_password_hash = NULL,
    pending_password_expires_at = NULL,
    password_chosen_at = NULL,
    last_login_at = @now
WHERE id = @id AND pending_password_hash = @verified_hash AND pending_password_expires_at > @now
    AND pending_until IS NULL AND disabled_at IS NULL AND (second_factor_since IS NULL OR CAST(@second_factor AS bigint) <> 0);

-- RecordLogin locks the account, so that no login runs during a change of the password or of the account.
-- No row: the password is no longer the one that was verified, or the account is not active, or it needs a second factor and second_factor
-- is 0.
-- name: RecordLogin :execrows
UPDATE account SET last_login_at = @now
WHERE id = @id AND password_hash = @verified_hash AND pending_until IS NULL AND disabled_at IS NULL
    AND (second_factor_since IS NULL OR CAST(@second_factor AS bigint) <> 0);

-- RecordLoginWithoutPassword does the same for a login by a passkey alone. No row: the account is not active.
-- name: RecordLoginWithoutPassword :execrows
UPDATE account SET last_login_at = @now WHERE id = @id AND pending_until IS NULL AND disabled_at IS NULL;

-- ChangePassword replaces the password that was verified: the password, or the pending one. It locks the account, as a login does.
-- Mailed passwords that were not used become void, also those in the queue, as in DisableAccount.
-- No row: another password was set meanwhile, the pending one has expired, or the account is not active.
-- name: ChangePassword :execrows
UPDATE account SET
    password_hash = @password_hash,
    password_chosen_at = @now,
    pending_password_hash = NULL,
    pending_password_expires_at = NULL,
    pending_password_number = last_password_number
WHERE id = @id AND pending_until IS NULL AND disabled_at IS NULL
    AND (password_hash = @verified_hash OR (pending_password_hash = @verified_hash AND pending_password_expires_at > @now));

-- ChangeAccountEmail changes the address of an account. Mailed passwords that were not used become void, also those in the queue, as in
-- ChangePassword: they went to the old address. The statement waits for a change or a sign-up in progress with the same address, and fails
-- with a conflict if the address is taken. The caller then checks in another statement whether it is reserved: see IsAddressReserved.
-- name: ChangeAccountEmail :exec
UPDATE account SET
    email = @email,
    pending_password_hash = NULL,
    pending_password_expires_at = NULL,
    pending_password_number = last_password_number
WHERE id = @id;

-- UndoAccountEmail returns an account to an earlier address, voids its password and cancels its deletion. No row: an operator has disabled
-- the account.
-- name: UndoAccountEmail :execrows
UPDATE account SET
    email = @email,
    password_hash = NULL,
    password_chosen_at = NULL,
    pending_password_hash = NULL,
    pending_password_expires_at = NULL,
    pending_password_number = last_password_number,
    disabled_at = NULL,
    closing_until = NULL
WHERE id = @id AND (disabled_at IS NULL OR closing_until IS NOT NULL);

-- GetAddressOwner returns the account that has an address, or has reserved it by an undo (see IsAddressReserved), if it is not the given
-- one. A sign-up that was not confirmed in time does not count.
-- name: GetAddressOwner :one
SELECT account.id, CAST(0 AS bigint) AS reserved FROM account
WHERE account.email = @address AND (account.pending_until IS NULL OR account.pending_until > @now) AND account.id <> @account_id
UNION ALL
SELECT link.account_id, CAST(1 AS bigint) FROM link
WHERE link.address = @address AND link.purpose = 'email_undo' AND link.expires_at > @reserved_after AND link.account_id <> @account_id
LIMIT 1;

-- LockAccountWithPassword locks an account as a login does. No row: the password is no longer the one that was verified, or the account is not
-- active, or it needs a second factor.
-- name: LockAccountWithPassword :execrows
UPDATE account SET language = language
WHERE id = @id AND password_hash = @verified_hash AND pending_until IS NULL AND disabled_at IS NULL AND second_factor_since IS NULL;

-- SetChosenPassword sets a password that the user has chosen by a link. The caller has locked the account and consumed the link. Mailed
-- passwords become void, as in ChangePassword. No row: the account is not active.
-- name: SetChosenPassword :execrows
UPDATE account SET
    password_hash = @password_hash,
    password_chosen_at = @now,
    pending_password_hash = NULL,
    pending_password_expires_at = NULL,
    pending_password_number = last_password_number
WHERE id = @id AND pending_until IS NULL AND disabled_at IS NULL;

-- name: RehashPassword :exec
UPDATE account SET password_hash = @password_hash
WHERE id = @id AND password_hash = @verified_hash AND pending_password_hash IS NULL;

-- LockAccount locks an account until the transaction ends: no login, no link and no deletion of it runs meanwhile.
-- (The UPDATE changes nothing. SQLite has no SELECT FOR UPDATE.)
-- name: LockAccount :one
UPDATE account SET language = language WHERE id = @id RETURNING *;

-- name: LockAccountByEmail :one
UPDATE account SET language = language WHERE email = @email RETURNING *;

-- DisableAccount locks the account, as a login does: a login at the same time either ends here or is refused.
-- Mailed passwords that were not used become void. Enqueued ones can never become pending, even if the account is enabled again while a
-- worker holds the mail. A closing account stays disabled when its deletion could still be undone, and is not deleted.
-- No row: the account is disabled already or does not exist.
-- name: DisableAccount :execrows
UPDATE account SET
    disabled_at = @now,
    closing_until = NULL,
    pending_password_hash = NULL,
    pending_password_expires_at = NULL,
    pending_password_number = last_password_number
WHERE id = @id AND (disabled_at IS NULL OR closing_until IS NOT NULL);

-- EnableAccount enables an account, also a closing one. No row: the account is not disabled or does not exist.
-- name: EnableAccount :execrows
UPDATE account SET disabled_at = NULL, closing_until = NULL WHERE id = @id AND disabled_at IS NOT NULL;

-- CloseAccount begins the time in which the owner can undo the deletion. The account is disabled meanwhile: mailed passwords become void
-- as in DisableAccount. No row: the account is disabled or closing, or does not exist.
-- name: CloseAccount :execrows
UPDATE account SET
    disabled_at = @now,
    closing_until = @closing_until,
    pending_password_hash = NULL,
    pending_password_expires_at = NULL,
    pending_password_number = last_password_number
WHERE id = @id AND disabled_at IS NULL;

-- RestoreAccount undoes CloseAccount. No row: the account is not closing, or an operator has disabled it.
-- name: RestoreAccount :execrows
UPDATE account SET disabled_at = NULL, closing_until = NULL
WHERE id = @id AND closing_until IS NOT NULL AND disabled_at IS NOT NULL;

-- ListClosedAccounts lists the accounts whose deletion can no longer be undone.
-- name: ListClosedAccounts :many
SELECT id FROM account
WHERE closing_until <= @before AND closing_until IS NOT NULL AND disabled_at IS NOT NULL AND id > @after
ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- CountClosingAccounts counts the accounts whose deletion can be undone, or is due.
-- name: CountClosingAccounts :one
SELECT count(*) FROM account WHERE closing_until IS NOT NULL AND disabled_at IS NOT NULL;

-- DeleteDecoys deletes the sign-ups of others with the account's address.
-- name: DeleteDecoys :exec
DELETE FROM account WHERE decoy_of = @id;

-- name: DeleteAccount :execrows
DELETE FROM account WHERE id = @id;

-- ListAccounts lists the newest accounts first (IDs are in order of time), without decoys.
-- name: ListAccounts :many
SELECT * FROM account WHERE id < @before AND decoy_of IS NULL ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- MarkOwnerNotified records the mail that is about to notify an owner of a sign-up with their address. No row: another mail did so
-- recently, or the account is disabled. The ID contains the time at which one replica enqueued the mail; notified_before comes from the
-- clock of another. The day between two notices is longer or shorter by the difference of the two clocks.
-- name: MarkOwnerNotified :execrows
UPDATE account SET notified_mail_id = @mail_id
WHERE id = @id AND disabled_at IS NULL
    AND (notified_mail_id IS NULL OR notified_mail_id = @mail_id OR notified_mail_id < @notified_before);

-- ListExpiredSignUps and DeleteExpiredSignUps walk through the sign-ups that were not confirmed in time.
-- name: ListExpiredSignUps :many
SELECT id FROM account WHERE id > @after AND pending_until <= @before ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteExpiredSignUps :execrows
DELETE FROM account WHERE id >= @first AND id <= @last AND pending_until <= @before;
