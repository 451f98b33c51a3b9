package db

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// FirstIDAt returns the lowest ID that can be created at t. IDs are UUIDs of version 7, which begin with 48 bits of milliseconds
// (RFC 9562, section 5.7), so no ID that was created at t or later is lower.
func FirstIDAt(t time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16)
	return id
}
