-- name: GetAccount :one
SELECT * FROM account WHERE id = @id;

-- name: GetAccountByEmail :one
SELECT * FROM account WHERE email = @email;

-- InsertAccount makes an unconfirmed account. No row: the address is taken.
-- name: InsertAccount :execrows
INSERT INTO account (id, email, language, invite_id, created_at, pending_until, taken_by)
VALUES (@id, @email, @language, @invite_id, @created_at, @pending_until, @taken_by)
ON CONFLICT (email) DO NOTHING;

-- name: DeleteExpiredSignUp :exec
DELETE FROM account WHERE email = @email AND pending_until <= @now;

-- name: ConfirmAccount :one
UPDATE account SET pending_until = NULL WHERE id = @id AND pending_until IS NOT NULL RETURNING *;

-- NextPasswordNumber gives the next number to a mail with a password, and locks the account's row to the end of the transaction
-- that queues the mail. So the numbers are in the order of the commits, whatever the clocks of the replicas say. No row: the
-- account is disabled, or there is none.
-- name: NextPasswordNumber :one
UPDATE account SET password_mails = password_mails + 1 WHERE id = @id AND disabled_at IS NULL RETURNING password_mails;

-- ArmPassword stores the password of a mail that is about to be sent. No row: a mail that is the same or newer did, the account
-- was disabled since the mail was queued, or there is none.
-- name: ArmPassword :execrows
UPDATE account SET armed_hash = @armed_hash, armed_mail_id = @mail_id, armed_number = @number, armed_until = @armed_until
WHERE id = @id AND armed_number < @number AND disabled_at IS NULL;

-- SetArmedPasswordLife says when a mailed password ends that nobody uses. No row: the password of another mail is armed, or none.
-- Here and in DisarmPassword armed_mail_id only tells whose password it is: its order means nothing.
-- name: SetArmedPasswordLife :execrows
UPDATE account SET armed_until = @armed_until WHERE armed_mail_id = @mail_id AND id = @id AND armed_hash IS NOT NULL;

-- name: DisarmPassword :exec
UPDATE account SET armed_hash = NULL, armed_until = NULL WHERE armed_mail_id = @mail_id AND id = @id;

-- LogInWithArmedPassword makes the armed password the password. No row: it is no longer armed, or the account is not active.
-- name: LogInWithArmedPassword :execrows
UPDATE account SET password_hash = armed_hash, armed_hash = NULL, armed_until = NULL, last_log_in_at = @now
WHERE id = @id AND armed_hash = @verified_hash AND armed_until > @now
    AND pending_until IS NULL AND disabled_at IS NULL;

-- LogInWithPassword takes the account's row, so that nobody can log in beside a change of the password or of the account.
-- No row: the password is no longer the one that was verified, or the account is not active.
-- name: LogInWithPassword :execrows
UPDATE account SET last_log_in_at = @now
WHERE id = @id AND password_hash = @verified_hash AND pending_until IS NULL AND disabled_at IS NULL;

-- name: RehashPassword :exec
UPDATE account SET password_hash = @password_hash
WHERE id = @id AND password_hash = @verified_hash AND armed_hash IS NULL;

-- HoldAccount finds an account and holds its row to the end of the transaction, so that nobody logs in, is sent a link or is
-- deleted beside it. (An UPDATE that changes nothing: SQLite has no FOR UPDATE.)
-- name: HoldAccount :one
UPDATE account SET language = language WHERE id = @id RETURNING *;

-- name: HoldAccountByEmail :one
UPDATE account SET language = language WHERE email = @email RETURNING *;

-- DisableAccount takes the account's row, as a log-in does: whoever logs in beside it is either ended by it or refused.
-- Passwords that were mailed and not used yet are void, and those that were queued can never be armed, even if the account is enabled
-- again while a worker has the mail. No row: it is disabled already, or there is none.
-- name: DisableAccount :execrows
UPDATE account SET disabled_at = @now, armed_hash = NULL, armed_until = NULL, armed_number = password_mails
WHERE id = @id AND disabled_at IS NULL;

-- name: EnableAccount :execrows
UPDATE account SET disabled_at = NULL WHERE id = @id AND disabled_at IS NOT NULL;

-- DeleteDecoys deletes the sign-ups that others tried with an account's address.
-- name: DeleteDecoys :exec
DELETE FROM account WHERE taken_by = @id;

-- name: DeleteAccount :execrows
DELETE FROM account WHERE id = @id;

-- ListAccounts lists the newest first: ids are in order of time. Sign-ups with a taken address are nobody.
-- name: ListAccounts :many
SELECT * FROM account WHERE id < @before AND taken_by IS NULL ORDER BY id DESC LIMIT CAST(@most AS bigint);

-- TellOwner notes the mail that is about to tell an owner of a sign-up with his address. No row: another one has done so lately, or
-- the account is disabled. The id tells when the mail was queued, by the clock of one replica, and told_before comes from the clock of
-- another: the day between two notices is as much shorter or longer as the two differ, by 5 s or by 10 minutes.
-- name: TellOwner :execrows
UPDATE account SET told_mail_id = @mail_id
WHERE id = @id AND disabled_at IS NULL AND (told_mail_id IS NULL OR told_mail_id = @mail_id OR told_mail_id < @told_before);

-- ListLapsedSignUps and DeleteLapsedSignUps go through the sign-ups that nobody confirmed in time.
-- name: ListLapsedSignUps :many
SELECT id FROM account WHERE id > @after AND pending_until <= @before ORDER BY id LIMIT CAST(@most AS bigint);

-- name: DeleteLapsedSignUps :execrows
DELETE FROM account WHERE id >= @first AND id <= @last AND pending_until <= @before;
