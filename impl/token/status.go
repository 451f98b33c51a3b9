package token

import (
	"fmt"
	"time"
)

// Status describes the signing keys of this replica, for metrics.
type Status struct {
	Keys        int
	ActiveSince time.Time // when the current signing key began to sign
	NextAt      time.Time // when the next key begins to sign
	ReadAt      time.Time // when this replica last read the keys from the database
}

// Status returns the status of the signing keys of this replica.
func (k *Keys) Status() Status {
	set, now := k.current.Load(), k.cfg.Clock.Now()
	signing, newest := set.signing(now), set.newest()
	s := Status{
		Keys: len(set.keys), ActiveSince: signing.activeAt, NextAt: signing.activeAt.Add(k.cfg.KeyLife),
		ReadAt: time.UnixMicro(k.readAt.Load()).UTC(),
	}
	if newest != signing {
		s.NextAt = newest.activeAt
	}
	return s
}

// Usable returns nil while this replica signs and accepts the same tokens as all others. A replica can do without reading the keys
// for as long as keys are published before their first use. After that, other replicas may sign with a key that it does not have, or
// may have deleted the key with which it signs.
func (k *Keys) Usable() error {
	unread := k.cfg.Clock.Now().Sub(k.Status().ReadAt)
	if unread > k.cfg.publishAhead() {
		return fmt.Errorf("the signing keys could not be read from the database for %s", unread.Round(time.Second))
	}
	return nil
}
