-- name: InsertMail :exec
INSERT INTO mail (id, account_id, kind, confirmation_id, nonce, request_id, created_at, due_at, attempts)
VALUES (@id, @account_id, @kind, @confirmation_id, @nonce, @request_id, @now, @now, 0);

-- DeleteOlderPasswordMails withdraws the unsent passwords that a newer one replaces.
-- name: DeleteOlderPasswordMails :exec
DELETE FROM mail WHERE account_id = @account_id AND kind = 'password' AND sent_at IS NULL AND dead_at IS NULL;

-- LeaseMail hands the mail that has waited longest to one worker. A lease that runs out makes the row due again.
-- name: LeaseMail :one
UPDATE mail SET due_at = @lease_until, attempts = attempts + 1
WHERE id = (
        SELECT due.id FROM mail AS due
        WHERE due.due_at <= @now AND due.sent_at IS NULL AND due.dead_at IS NULL
        ORDER BY due.due_at LIMIT 1
    ) AND due_at <= @now AND sent_at IS NULL AND dead_at IS NULL
RETURNING *;

-- name: MarkMailSent :execrows
UPDATE mail SET sent_at = @now, nonce = NULL, last_error = NULL
WHERE id = @id AND attempts = @attempts AND sent_at IS NULL AND dead_at IS NULL;

-- name: MarkMailDead :execrows
UPDATE mail SET dead_at = @now, nonce = NULL, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND sent_at IS NULL AND dead_at IS NULL;

-- name: RetryMail :execrows
UPDATE mail SET due_at = @due_at, last_error = @last_error
WHERE id = @id AND attempts = @attempts AND sent_at IS NULL AND dead_at IS NULL;
