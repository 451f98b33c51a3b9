-- RecordHeartbeat records that the service is alive. If the last heartbeat of any replica is older than outage_threshold, the service was
-- down since then: the time from that heartbeat until now becomes the newest outage.
-- Neither time is ever set back, so that a replica whose clock is behind creates no outage for the others. A time after far_ahead comes
-- from a clock that was wrong, and is overwritten.
-- name: RecordHeartbeat :one
INSERT INTO heartbeat (id, beat_at, rotation_at) VALUES (1, @now, @rotation_at)
ON CONFLICT (id) DO UPDATE SET
    previous_outage_began_at = CASE
        WHEN heartbeat.beat_at < @outage_threshold THEN heartbeat.outage_began_at ELSE heartbeat.previous_outage_began_at
    END,
    previous_outage_ended_at = CASE
        WHEN heartbeat.beat_at < @outage_threshold THEN heartbeat.outage_ended_at ELSE heartbeat.previous_outage_ended_at
    END,
    outage_began_at = CASE WHEN heartbeat.beat_at < @outage_threshold THEN heartbeat.beat_at ELSE heartbeat.outage_began_at END,
    outage_ended_at = CASE WHEN heartbeat.beat_at < @outage_threshold THEN excluded.beat_at ELSE heartbeat.outage_ended_at END,
    beat_at = CASE
        WHEN heartbeat.beat_at < excluded.beat_at OR heartbeat.beat_at > @far_ahead THEN excluded.beat_at
        ELSE heartbeat.beat_at
    END,
    rotation_at = CASE
        WHEN heartbeat.rotation_at < excluded.rotation_at OR heartbeat.rotation_at > @far_ahead THEN excluded.rotation_at
        ELSE heartbeat.rotation_at
    END
RETURNING *;

-- GetHeartbeat returns the last heartbeat of any replica. No row: there was none yet.
-- name: GetHeartbeat :one
SELECT * FROM heartbeat;
