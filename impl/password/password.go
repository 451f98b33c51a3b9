// Package password hashes and compares passwords (Argon2id), derives the passwords that the service mails, and decides which passwords users
// can choose (Policy).
//
// A hash takes tens of milliseconds and megabytes by design. A Hasher therefore limits how many are computed at a time: it has a fixed
// number of slots and a bounded queue, and refuses more calls immediately.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// MaxLen is the maximum length of a password in bytes: that of MaxCodePoints. A longer one is refused before it is hashed, and never truncated
// (ASVS 6.2.8).
const MaxLen = MaxCodePoints * utf8.UTFMax

var (
	// ErrTooLong means that a password has more than MaxLen bytes or, if it is new, more than MaxCodePoints code points.
	ErrTooLong = fmt.Errorf("the password is longer than %d code points or %d bytes", MaxCodePoints, MaxLen)
	// ErrNotUTF8 means that a new password is not UTF-8. (For Match, such a password never matches.)
	ErrNotUTF8 = errors.New("the password is not UTF-8")
)

// Options are the options of a Hasher. A zero field means its default.
type Options struct {
	Slots  int    // maximum number of hashes computed at a time; default: GOMAXPROCS
	Queue  int    // maximum number of calls that wait for a slot; default: 16 per slot
	Params Params // default: DefaultParams

	Wait time.Duration // how long a call may wait for a slot; default: until its context ends
}

// Hasher computes a limited number of Argon2id hashes at a time. It is safe for concurrent use.
type Hasher struct {
	params   Params
	queue    queue
	computed atomic.Uint64
}

// NewHasher returns a Hasher. It panics if Params are outside the bounds that Match accepts, or if a number is negative.
func NewHasher(o Options) *Hasher {
	if o.Slots == 0 {
		o.Slots = runtime.GOMAXPROCS(0) // respects the CPU limit of a container
	}
	if o.Queue == 0 {
		o.Queue = 16 * o.Slots
	}
	if o.Params == (Params{}) {
		o.Params = DefaultParams()
	}
	if o.Slots < 0 || o.Queue < 0 || o.Wait < 0 {
		panic("password: negative number of slots, queue length or wait")
	}
	if err := o.Params.check(); err != nil {
		panic("password: " + err.Error())
	}
	return &Hasher{params: o.Params, queue: newQueue(o)}
}

// Match returns the index of the hash that the password matches, or -1. Hashes with the same salt and parameters, as an account's hashes
// normally are, need one computation together. Without hashes it does the same work and returns -1, so that an unknown account takes as
// long as a known one (ASVS 6.3.8). It never ends early: neither the time nor the work reveals which hash matched, or whether one did.
//
// A malformed hash is an error, not a mismatch. Match returns a BusyError if the queue is full or the wait was too long, and the context's
// error if the context ends before the call gets a slot.
func (h *Hasher) Match(ctx context.Context, password string, hashes ...string) (int, error) {
	if len(password) > MaxLen {
		return -1, ErrTooLong
	}
	stored := make([]phc, len(hashes))
	for i, text := range hashes {
		var err error
		if stored[i], err = parsePHC(text); err != nil {
			return -1, fmt.Errorf("stored password hash %d: %w", i, err)
		}
	}
	if len(stored) == 0 {
		stored = []phc{{Params: h.params}} // a dummy: its result is ignored
	}
	normal, valid := normalize(password)

	leave, err := h.queue.enter(ctx)
	if err != nil {
		return -1, err
	}
	defer leave()

	computed := make(map[phcKey][tagSize]byte, 1)
	match := -1
	for i, s := range stored {
		tag, ok := computed[s.key()]
		if !ok {
			tag = h.compute(normal, s)
			computed[s.key()] = tag
		}
		equal := subtle.ConstantTimeCompare(tag[:], s.tag[:])
		match = subtle.ConstantTimeSelect(equal, i, match)
	}
	// Invalid UTF-8 was hashed too, so that it takes the same time.
	if !valid || len(hashes) == 0 {
		match = -1
	}
	return match, nil
}

// Hash returns the hash of a password as a PHC string. If like is a hash, the new hash has its salt and parameters, so that one computation
// compares a password with both. If like is empty, the salt is random and the parameters are the current ones.
func (h *Hasher) Hash(ctx context.Context, password, like string) (string, error) {
	if len(password) > MaxLen {
		return "", ErrTooLong
	}
	normal, valid := normalize(password)
	if !valid {
		return "", ErrNotUTF8
	}
	result := phc{Params: h.params}
	if like != "" {
		var err error
		if result, err = parsePHC(like); err != nil {
			return "", fmt.Errorf("hash with the salt of another hash: %w", err)
		}
	} else if _, err := rand.Read(result.salt[:]); err != nil {
		return "", fmt.Errorf("generate a salt: %w", err)
	}

	leave, err := h.queue.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	result.tag = h.compute(normal, result)
	return result.String(), nil
}

// NeedsRehash reports whether a hash is cheaper than one with the current parameters. It returns false for a malformed hash.
func (h *Hasher) NeedsRehash(hash string) bool {
	stored, err := parsePHC(hash)
	return err == nil && (stored.Memory < h.params.Memory || stored.Time < h.params.Time)
}

// Busy returns a BusyError while all slots and the whole queue are occupied. A caller that has work to do before it hashes calls Busy first,
// so that a refused call costs nothing.
func (h *Hasher) Busy() error { return h.queue.checkFull() }

// Computed returns how many hashes were computed so far.
func (h *Hasher) Computed() uint64 { return h.computed.Load() }

// Load is the load of a Hasher. Counts are since its start.
type Load struct {
	Slots, Busy    int // hashes computed at a time: maximum, current
	Queue, Waiting int // calls that wait for a slot: maximum, current
	Computed       uint64
	Refused        uint64 // calls that returned a BusyError
}

// Load returns the current load.
func (h *Hasher) Load() Load {
	inside, slots := len(h.queue.places), h.queue.slotCount
	return Load{
		Slots: slots, Busy: min(inside, slots), Queue: cap(h.queue.places) - slots, Waiting: max(0, inside-slots),
		Computed: h.computed.Load(), Refused: h.queue.refused.Load(),
	}
}

// compute runs Argon2id with the salt and the parameters of like. The caller has a slot.
func (h *Hasher) compute(password []byte, like phc) (tag [tagSize]byte) {
	h.computed.Add(1)
	copy(tag[:], argon2.IDKey(password, like.salt[:], like.Time, like.Memory, like.Threads, tagSize))
	// The memory is collected before the slot is free, so it is bounded by the number of slots. Otherwise the collector keeps at least as
	// much garbage: in a flood of logins on 2 cores, the service used 321 MiB, and 177 MiB with this call. Predictable memory has its price:
	// 23 instead of 31 hashes per second.
	runtime.GC()
	return tag
}

// normalize returns the bytes to hash: the password in NFC (SP 800-63B), so that it is the same when typed on another keyboard. Nothing else
// is changed: no trimming, no case folding and no repair of invalid UTF-8, which would make different passwords equal. Invalid UTF-8 is
// returned unchanged, with valid false.
func normalize(password string) (normal []byte, valid bool) {
	if !utf8.ValidString(password) {
		return []byte(password), false
	}
	return []byte(Normalize(password)), true
}
