-- TouchDevice records a login from a known device. No row: the device is not known.
-- name: TouchDevice :execrows
UPDATE device SET seen_at = @now WHERE account_id = @account_id AND fingerprint = @fingerprint;

-- name: InsertDevice :exec
INSERT INTO device (id, account_id, fingerprint, seen_at) VALUES (@id, @account_id, @fingerprint, @now)
ON CONFLICT (account_id, fingerprint) DO UPDATE SET seen_at = excluded.seen_at;

-- DeleteExcessDevices keeps the max_devices devices of an account that were seen last.
-- name: DeleteExcessDevices :execrows
DELETE FROM device WHERE device.account_id = @account_id AND device.id NOT IN (
    SELECT d.id FROM device AS d WHERE d.account_id = @account_id
    ORDER BY d.seen_at DESC, d.id DESC LIMIT CAST(@max_devices AS bigint)
);

-- ListDeviceIDsBefore lists the devices first seen before a time: IDs are in order of time.
-- name: ListDeviceIDsBefore :many
SELECT id FROM device WHERE id > @after AND id < @before ORDER BY id LIMIT CAST(@max_rows AS bigint);

-- name: DeleteStaleDevices :execrows
DELETE FROM device WHERE id >= @first AND id <= @last AND seen_at <= @before;

-- ListDevices lists the devices of an account, the one seen last first.
-- name: ListDevices :many
SELECT * FROM device WHERE account_id = @account_id ORDER BY seen_at DESC, id LIMIT CAST(@max_rows AS bigint);
