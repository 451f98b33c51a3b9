-- Beat notes that the service is alive. Where the last beat of any replica is from before gone_before, there was none since: the time
-- from then until now becomes the newest outage.
-- Neither time is ever set back, so that a replica whose clock is behind makes no outage for the others. A time after
-- far_ahead comes from a clock that was wrong, and gives way.
-- name: Beat :one
INSERT INTO heartbeat (id, beat_at, rotation_at) VALUES (1, @now, @rotation_at)
ON CONFLICT (id) DO UPDATE SET
    earlier_began_at = CASE WHEN heartbeat.beat_at < @gone_before THEN heartbeat.outage_began_at ELSE heartbeat.earlier_began_at END,
    earlier_ended_at = CASE WHEN heartbeat.beat_at < @gone_before THEN heartbeat.outage_ended_at ELSE heartbeat.earlier_ended_at END,
    outage_began_at = CASE WHEN heartbeat.beat_at < @gone_before THEN heartbeat.beat_at ELSE heartbeat.outage_began_at END,
    outage_ended_at = CASE WHEN heartbeat.beat_at < @gone_before THEN excluded.beat_at ELSE heartbeat.outage_ended_at END,
    beat_at = CASE
        WHEN heartbeat.beat_at < excluded.beat_at OR heartbeat.beat_at > @far_ahead THEN excluded.beat_at
        ELSE heartbeat.beat_at
    END,
    rotation_at = CASE
        WHEN heartbeat.rotation_at < excluded.rotation_at OR heartbeat.rotation_at > @far_ahead THEN excluded.rotation_at
        ELSE heartbeat.rotation_at
    END
RETURNING *;

-- GetHeartbeat is the beat of a replica that has nothing to write. No row: there was no beat yet.
-- name: GetHeartbeat :one
SELECT * FROM heartbeat;
