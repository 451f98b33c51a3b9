-- +goose Up

-- When the service was last alive, and its two newest outages: which rotations of refresh tokens an outage may have swallowed
-- the answer of must be known after a restart too. One row; there is none before the first beat.
CREATE TABLE heartbeat (
    id               bigint      NOT NULL PRIMARY KEY CHECK (id = 1),
    beat_at          timestamptz NOT NULL, -- the newest beat of any replica
    rotation_at      timestamptz NOT NULL, -- about the newest rotation of any replica: the beats go on for a while after it
    outage_began_at  timestamptz,          -- the last beat before the newest outage
    outage_ended_at  timestamptz,          -- the first beat after it
    earlier_began_at timestamptz,          -- the same of the outage before
    earlier_ended_at timestamptz
);

-- +goose Down
DROP TABLE heartbeat;
