-- name: InsertMail :exec
INSERT INTO mail (
    id, account_id, kind, confirmation_id, nonce, number, request_id, created_at, due_at, attempts, happened_at, platform, remote_addr
)
VALUES (
    @id, @account_id, @kind, @confirmation_id, @nonce, @number, @request_id, @now, @due_at, 0, @happened_at, @platform, @remote_addr
);

-- DeleteOlderPasswordMails withdraws the unsent passwords that a newer one replaces: all that there are. The transaction has locked
-- the account with NextPasswordNumber, so each of them has a smaller number.
-- name: DeleteOlderPasswordMails :exec
DELETE FROM mail WHERE account_id = @account_id AND kind = 'password' AND sent_at IS NULL AND dead_at IS NULL;

-- ListDueMails finds the mails that have waited longest. It takes none of them, and so waits for nobody. Due times come from the clocks
-- of those who queued the mails: replicas that are seconds or minutes apart disturb the order by as much, and nothing hangs on it.
-- name: ListDueMails :many
SELECT id FROM mail WHERE due_at <= @now AND sent_at IS NULL AND dead_at IS NULL ORDER BY due_at LIMIT CAST(@most AS bigint);

-- ListDueMailsAfterOutage leaves those out whose lease ran out since @outage.
-- name: ListDueMailsAfterOutage :many
SELECT id FROM mail
WHERE due_at <= @now AND sent_at IS NULL AND dead_at IS NULL
    AND (attempts = 0 OR last_error IS NOT NULL OR due_at <= @outage)
ORDER BY due_at LIMIT CAST(@most AS bigint);

-- LeaseMail hands a mail that is due to one worker. No row: another was faster. A lease that runs out makes the row due again.
-- A row that is not due and has no error is leased: the error of an attempt goes when the next one begins.
-- The end of a lease is a time of the holder's clock, and others hold it against theirs. The holder takes it for over five seconds before, by
-- its monotonic clock, so replicas that are 5 s apart do not send a mail twice. Where another's clock is ahead by more, it takes the mail
-- over: the holder can then neither arm a password nor record the result, and in the worst case the same mail, with the same secret, is
-- sent twice. Where the others' clocks are behind, or are set back, the mail of a holder that died waits for that much longer.
-- name: LeaseMail :one
UPDATE mail SET due_at = @lease_until, attempts = attempts + 1, last_error = NULL
WHERE id = @id AND due_at <= @now AND sent_at IS NULL AND dead_at IS NULL
RETURNING *;

-- NumberMail gives a mail with a password its number, if it has none yet. No row: the lease was taken over, or the mail withdrawn. The end
-- of the lease does not decide, because the holder renews it meanwhile; who takes it over counts an attempt more or leaves an error.
-- name: NumberMail :execrows
UPDATE mail SET number = @number
WHERE id = @id AND attempts = @attempts AND last_error IS NULL AND sent_at IS NULL AND dead_at IS NULL;

-- RenewMail prolongs a lease. No row: it was taken over, or the mail withdrawn.
-- name: RenewMail :execrows
UPDATE mail SET due_at = @renewed_until
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- Whoever has a lease settles it with one of the next four. No row: it was taken over, or the mail withdrawn.

-- name: MarkMailSent :execrows
UPDATE mail SET sent_at = @now, nonce = NULL, last_error = NULL
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- name: MarkMailDead :execrows
UPDATE mail SET dead_at = @now, nonce = NULL, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- name: RetryMail :execrows
UPDATE mail SET due_at = @due_at, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- ReturnMail gives a mail back as if it had never been tried.
-- name: ReturnMail :execrows
UPDATE mail SET due_at = @due_at, attempts = attempts - 1, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND due_at = @lease_until AND sent_at IS NULL AND dead_at IS NULL;

-- ListDoneMails finds mails that were sent, or died, long enough ago to be forgotten. Ids are in order of time:
-- none before queued_before is younger, and what is younger is not looked at. A caller that passes the last id of one batch as
-- @after of the next one does not look at the same rows again.
-- name: ListDoneMails :many
SELECT id FROM mail WHERE id > @after AND id < @queued_before AND (sent_at < @sent_before OR dead_at < @dead_before) ORDER BY id LIMIT CAST(@most AS bigint);

-- DeleteDoneMails forgets those from first to last.
-- name: DeleteDoneMails :execrows
DELETE FROM mail WHERE id >= @first AND id <= @last AND (sent_at < @sent_before OR dead_at < @dead_before);

-- name: GetMail :one
SELECT * FROM mail WHERE id = @id;

-- name: ListMails :many
SELECT * FROM mail WHERE id < @before ORDER BY id DESC LIMIT CAST(@most AS bigint);

-- name: ListQueuedMails :many
SELECT * FROM mail WHERE id < @before AND sent_at IS NULL AND dead_at IS NULL ORDER BY id DESC LIMIT CAST(@most AS bigint);

-- name: ListSentMails :many
SELECT * FROM mail WHERE id < @before AND sent_at IS NOT NULL ORDER BY id DESC LIMIT CAST(@most AS bigint);

-- name: ListDeadMails :many
SELECT * FROM mail WHERE id < @before AND dead_at IS NOT NULL ORDER BY id DESC LIMIT CAST(@most AS bigint);

-- HurryMail makes a mail due that waits for its next attempt. No row: it is due already, on its way, or done.
-- name: HurryMail :execrows
UPDATE mail SET due_at = @due_at
WHERE id = @id AND due_at > @now AND last_error IS NOT NULL AND sent_at IS NULL AND dead_at IS NULL;

-- TakeDeadMail removes a dead mail, for one that queues it anew.
-- name: TakeDeadMail :one
DELETE FROM mail WHERE id = @id AND dead_at IS NOT NULL RETURNING *;

-- CountNewerPasswordMails counts the passwords that were owed after a mail. Mails of the version before have no number: among those
-- ids decide, as they did there.
-- name: CountNewerPasswordMails :one
SELECT count(*) FROM mail
WHERE account_id = @account_id AND kind = 'password' AND (number > @number OR number = 0 AND id > @id);

-- CountSentLinks counts the mails with a link that were sent.
-- name: CountSentLinks :one
SELECT count(*) FROM mail WHERE account_id = @account_id AND confirmation_id = @confirmation_id AND sent_at IS NOT NULL;

-- name: ListAccountMails :many
SELECT * FROM mail WHERE account_id = @account_id ORDER BY id DESC LIMIT CAST(@most AS bigint);

-- name: DeleteUnsentMails :execrows
DELETE FROM mail WHERE account_id = @account_id AND sent_at IS NULL AND dead_at IS NULL;

-- name: DeleteAccountMails :execrows
DELETE FROM mail WHERE account_id = @account_id;

-- CountLogInNotices counts those that an account was owed lately. Where replicas differ by some seconds or minutes, the hour that it
-- looks back is as much longer or shorter: a bound on a nuisance, and no more than that.
-- name: CountLogInNotices :one
SELECT count(*) FROM mail WHERE account_id = @account_id AND kind = 'login_notice' AND created_at > @since;

-- MeasureMailQueue tells how many mails are owed and since when, by what they wait for; it looks at @most of them.
-- name: MeasureMailQueue :many
SELECT CAST(CASE WHEN due_at <= @now THEN 'due' WHEN last_error IS NULL THEN 'sending' ELSE 'retrying' END AS text) AS state,
    count(*) AS mails, CAST(min(created_at) AS timestamptz) AS oldest
FROM (SELECT due_at, last_error, created_at FROM mail WHERE sent_at IS NULL AND dead_at IS NULL ORDER BY due_at LIMIT CAST(@most AS bigint)) AS owed
GROUP BY 1;
