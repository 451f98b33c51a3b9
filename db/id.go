package db

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// FirstIDAt is not after any id that was made at t or later: ids are UUIDs of version 7, which begin with 48 bits of
// milliseconds (RFC 9562, section 5.7).
func FirstIDAt(t time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16)
	return id
}
