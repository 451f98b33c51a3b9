-- name: InsertAuditEvent :exec
INSERT INTO audit_event (id, created_at, operator, action, account_id, subject, details)
VALUES (@id, @now, @operator, @action, @account_id, @subject, @details);

-- ListAuditEvents lists the newest events first.
-- name: ListAuditEvents :many
SELECT * FROM audit_event WHERE id < @before ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);

-- ListAccountAuditEvents lists what operators did to one account, the newest first.
-- name: ListAccountAuditEvents :many
SELECT * FROM audit_event WHERE account_id = @account_id ORDER BY id DESC LIMIT CAST(@max_rows AS bigint);
