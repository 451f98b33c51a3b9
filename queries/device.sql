-- SeeDevice notes that a known device was logged in from. No row: it is not known.
-- name: SeeDevice :execrows
UPDATE device SET seen_at = @now WHERE account_id = @account_id AND mark = @mark;

-- name: InsertDevice :exec
INSERT INTO device (id, account_id, mark, seen_at) VALUES (@id, @account_id, @mark, @now)
ON CONFLICT (account_id, mark) DO UPDATE SET seen_at = excluded.seen_at;

-- ForgetDevicesBeyond keeps as many as an account may have, those that were seen last.
-- name: ForgetDevicesBeyond :execrows
DELETE FROM device WHERE device.account_id = @account_id AND device.id NOT IN (
    SELECT d.id FROM device AS d WHERE d.account_id = @account_id
    ORDER BY d.seen_at DESC, d.id DESC LIMIT CAST(@keep AS bigint)
);

-- ListDevicesBefore goes through the devices that were first seen before a time: ids are in order of time.
-- name: ListDevicesBefore :many
SELECT id FROM device WHERE id > @after AND id < @before ORDER BY id LIMIT CAST(@most AS bigint);

-- name: DeleteUnseenDevices :execrows
DELETE FROM device WHERE id >= @first AND id <= @last AND seen_at <= @before;
