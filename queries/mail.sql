-- name: InsertMail :exec
INSERT INTO mail (
    id, account_id, kind, confirmation_id, nonce, password_number, request_id, created_at, due_at, attempts,
    happened_at, platform, remote_addr
)
VALUES (
    @id, @account_id, @kind, @confirmation_id, @nonce, @password_number, @request_id, @now, @due_at, 0,
    @happened_at, @platform, @remote_addr
);

-- DeleteOlderPasswordMails withdraws the unsent passwords that a newer one replaces: all of them, because the transaction has locked the
-- account with NextPasswordNumber and each of them has a smaller number.
-- name: DeleteOlderPasswordMails :exec
DELETE FROM mail WHERE account_id = @account_id AND kind = 'password' AND sent_at IS NULL AND dead_at IS NULL;

-- ListDueMails lists the mails that have been due longest. It locks nothing. Due times come from the clocks of the replicas that enqueued
-- the mails: clocks that differ disturb the order by their difference, and nothing depends on the order.
-- name: ListDueMails :many
SELECT id FROM mail WHERE due_at <= @now AND sent_at IS NULL AND dead_at IS NULL ORDER BY due_at LIMIT CAST(@max_rows AS bigint);

-- ListDueMailsAfterOutage omits the mails whose lease ended after @outage.
-- name: ListDueMailsAfterOutage :many
SELECT id FROM mail
WHERE due_at <= @now AND sent_at IS NULL AND dead_at IS NULL
    AND (attempts = 0 OR last_error IS NOT NULL OR due_at <= @outage)
ORDER BY due_at LIMIT CAST(@max_rows AS bigint);

-- LeaseMail leases a due mail to one worker. No row: another worker was faster. A mail whose lease has ended is due again.
-- A mail that is not due and has no error is leased: the error of one attempt is cleared when the next begins.
-- The end of a lease is a time of the holder's clock, and other replicas compare it with theirs. The holder stops over five seconds
-- earlier, by its monotonic clock, so replicas whose clocks differ by up to 5 s never send a mail twice. A replica whose clock is ahead
-- by more takes the mail over: the holder can then neither set a pending password nor record the result; in the worst case the same mail,
-- with the same secret, is sent twice. If the clocks of the others are behind, the mail of a dead holder waits longer by the difference.
-- name: LeaseMail :one
UPDATE mail SET due_at = @lease_until, attempts = attempts + 1, last_error = NULL
WHERE id = @id AND due_at <= @now AND sent_at IS NULL AND dead_at IS NULL
RETURNING *;

-- SetMailPasswordNumber numbers a mail with a password that has no number yet. No row: the lease was taken over, or the mail withdrawn. The
-- end of the lease is not compared, because the holder renews it meanwhile; a new holder increments attempts or leaves an error.
-- name: SetMailPasswordNumber :execrows
UPDATE mail SET password_number = @number
WHERE id = @id AND attempts = @attempts AND last_error IS NULL AND sent_at IS NULL AND dead_at IS NULL;

-- RenewMailLease extends a lease. No row: the lease was taken over, or the mail withdrawn.
-- name: RenewMailLease :execrows
UPDATE mail SET due_at = @renewed_until
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- The holder of a lease records the result with one of the next four. No row: the lease was taken over, or the mail withdrawn.

-- name: MarkMailSent :execrows
UPDATE mail SET sent_at = @now, nonce = NULL, last_error = NULL
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- name: MarkMailDead :execrows
UPDATE mail SET dead_at = @now, nonce = NULL, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- name: RescheduleMail :execrows
UPDATE mail SET due_at = @due_at, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- ReleaseMail reschedules a mail without counting the attempt.
-- name: ReleaseMail :execrows
UPDATE mail SET due_at = @due_at, attempts = attempts - 1, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- ListOldMails lists mails whose retention after success or permanent failure has ended. IDs are in order of time: mails enqueued after
-- queued_before are too young and are not read. The caller passes the last ID of a batch as @after of the next one, so that no row is
-- read twice.
-- name: ListOldMails :many
SELECT id FROM mail
WHERE id > @after AND id < @queued_before AND (sent_at < @sent_before OR dead_at < @dead_before)
ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteOldMails :execrows
DELETE FROM mail WHERE id >= @first AND id <= @last AND (sent_at < @sent_before OR dead_at < @dead_before);

-- name: GetMail :one
SELECT * FROM mail WHERE id = @id;

-- name: ListMails :many
SELECT * FROM mail WHERE id < @before ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- name: ListQueuedMails :many
SELECT * FROM mail WHERE id < @before AND sent_at IS NULL AND dead_at IS NULL ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- name: ListSentMails :many
SELECT * FROM mail WHERE id < @before AND sent_at IS NOT NULL ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- name: ListDeadMails :many
SELECT * FROM mail WHERE id < @before AND dead_at IS NOT NULL ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- RescheduleMailNow makes a mail due that waits for its next attempt. No row: it is due already, leased, sent or permanently failed.
-- name: RescheduleMailNow :execrows
UPDATE mail SET due_at = @due_at
WHERE id = @id AND due_at > @now AND last_error IS NOT NULL AND sent_at IS NULL AND dead_at IS NULL;

-- DeleteDeadMail deletes a permanently failed mail and returns it, so that the caller can enqueue it again.
-- name: DeleteDeadMail :one
DELETE FROM mail WHERE id = @id AND dead_at IS NOT NULL RETURNING *;

-- CountNewerPasswordMails counts the mails with a password that were enqueued after a mail. Mails of earlier versions have no number: IDs
-- decide among those.
-- name: CountNewerPasswordMails :one
SELECT count(*) FROM mail
WHERE account_id = @account_id AND kind = 'password' AND (password_number > @number OR password_number = 0 AND id > @id);

-- CountSentLinks counts the sent mails with a link.
-- name: CountSentLinks :one
SELECT count(*) FROM mail WHERE account_id = @account_id AND confirmation_id = @confirmation_id AND sent_at IS NOT NULL;

-- name: ListAccountMails :many
SELECT * FROM mail WHERE account_id = @account_id ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- ListDecoyMails lists the mails about sign-ups of others with the address of an account, which go to its owner.
-- name: ListDecoyMails :many
SELECT mail.* FROM mail JOIN account ON account.id = mail.account_id
WHERE account.decoy_of = @owner_id ORDER BY mail.id DESC LIMIT CAST(@max_rows AS bigint);

-- name: DeleteUnsentMails :execrows
DELETE FROM mail WHERE account_id = @account_id AND sent_at IS NULL AND dead_at IS NULL;

-- DeleteUnsentMailsExcept withdraws the unsent mails of an account, except those of one kind.
-- name: DeleteUnsentMailsExcept :execrows
DELETE FROM mail WHERE account_id = @account_id AND sent_at IS NULL AND dead_at IS NULL AND kind <> @keep;

-- DeleteUnsentMailsOfKind withdraws the unsent mails of an account with one kind.
-- name: DeleteUnsentMailsOfKind :execrows
DELETE FROM mail WHERE account_id = @account_id AND sent_at IS NULL AND dead_at IS NULL AND kind = @kind;

-- name: DeleteAccountMails :execrows
DELETE FROM mail WHERE account_id = @account_id;

-- CountLoginNotices counts an account's recent login notices. Clocks of replicas that differ make the period longer or shorter by their
-- difference. That is acceptable: the count only limits how many notices an account gets.
-- name: CountLoginNotices :one
SELECT count(*) FROM mail WHERE account_id = @account_id AND kind = 'login_notice' AND created_at > @since;

-- MailQueueStats returns, for each state of unsent mails, their number and the age of the oldest. It reads at most max_rows mails.
-- name: MailQueueStats :many
SELECT CAST(CASE WHEN due_at <= @now THEN 'due' WHEN last_error IS NULL THEN 'sending' ELSE 'retrying' END AS text) AS state,
    count(*) AS mails, CAST(min(created_at) AS timestamptz) AS oldest
FROM (
    SELECT due_at, last_error, created_at FROM mail WHERE sent_at IS NULL AND dead_at IS NULL
    ORDER BY due_at LIMIT CAST(@max_rows AS bigint)
) AS unsent
GROUP BY 1;
