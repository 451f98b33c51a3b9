package token

import (
	"fmt"
	"time"
)

// Status is what an operator may know of the signing keys that a replica has.
type Status struct {
	Keys        int
	ActiveSince time.Time // of the key that signs
	NextAt      time.Time // when the next one is to sign
	ReadAt      time.Time // when the replica has read the keys last
}

// Status tells of the signing keys that this replica has.
func (k *Keys) Status() Status {
	r, now := k.ring.Load(), k.cfg.Clock.Now()
	signs, newest := r.signing(now), r.newest()
	s := Status{
		Keys: len(r.keys), ActiveSince: signs.activeAt, NextAt: signs.activeAt.Add(k.cfg.KeyLife),
		ReadAt: time.UnixMicro(k.readAt.Load()).UTC(),
	}
	if newest != signs {
		s.NextAt = newest.activeAt
	}
	return s
}

// Usable is nil while tokens can be signed that every replica accepts. For as long as a key is published ahead, a replica may go
// without reading the keys; after that, others may sign with one that it does not know, and it with one that they dropped.
func (k *Keys) Usable() error {
	unread := k.cfg.Clock.Now().Sub(k.Status().ReadAt)
	if unread > k.cfg.publishAhead() {
		return fmt.Errorf("the signing keys could not be read for %s", unread.Round(time.Second))
	}
	return nil
}
