// Package password hashes and verifies passwords, and makes the ones that the service mails.
//
// A hash costs tens of milliseconds and megabytes by intent, so that no more of them run at a time than the machine can
// bear: a Hasher has a fixed number of slots and a bounded queue, and refuses at once what exceeds them.
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
	"golang.org/x/text/unicode/norm"
)

// MaxLen is the greatest length of a password in bytes. A longer one is refused, never cut (ASVS 6.2.8), before it
// costs a hash.
const MaxLen = 1024

var (
	// ErrTooLong refuses a password of more than MaxLen bytes.
	ErrTooLong = fmt.Errorf("password is longer than %d bytes", MaxLen)
	// ErrNotUTF8 refuses to hash a password that is not UTF-8. (Match answers that it does not match.)
	ErrNotUTF8 = errors.New("password is not UTF-8")
)

// Options of a Hasher. What is zero has a default.
type Options struct {
	Slots  int    // hashes computed at a time; default: GOMAXPROCS
	Queue  int    // calls that may wait for a slot; default: 16 per slot
	Params Params // default: DefaultParams

	Wait time.Duration // how long a call may wait for a slot; default: as long as its context lives
}

// Hasher computes Argon2id hashes, a few at a time. It is safe for concurrent use.
type Hasher struct {
	params   Params
	line     line
	computed atomic.Uint64
}

// NewHasher makes a Hasher. It panics when Params are out of the bounds that Match accepts, or a number is negative.
func NewHasher(o Options) *Hasher {
	if o.Slots == 0 {
		o.Slots = runtime.GOMAXPROCS(0) // respects the limit of a container
	}
	if o.Queue == 0 {
		o.Queue = 16 * o.Slots
	}
	if o.Params == (Params{}) {
		o.Params = DefaultParams()
	}
	if o.Slots < 0 || o.Queue < 0 || o.Wait < 0 {
		panic("password: a negative number of slots or places, or a negative time")
	}
	if err := o.Params.check(); err != nil {
		panic("password: " + err.Error())
	}
	return &Hasher{params: o.Params, line: newLine(o)}
}

// Match returns the index of the hash that the password matches, or -1. Hashes with the same salt and parameters,
// which an account's hashes normally have, are tried by one computation. With no hashes it does the same work and
// returns -1, so that an unknown account takes as long as a known one (ASVS 6.3.8). It never ends early: neither the
// time nor the work tell which hash matched, or whether one did.
//
// A hash that is malformed is damage and not a mismatch: an error. BusyError when too many calls wait already or the wait was too long, and
// the context's error when it ends before the call's turn.
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
		stored = []phc{{Params: h.params}} // a dummy: no salt, and a tag that decides nothing
	}
	normal, valid := normalize(password)

	leave, err := h.line.enter(ctx)
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
	// Invalid UTF-8 was hashed like everything else, for its time.
	if !valid || len(hashes) == 0 {
		match = -1
	}
	return match, nil
}

// Hash returns the password's hash as a PHC string. When like is a hash, its salt and parameters are kept, so that one
// computation tries a password against both; when like is empty, the salt is fresh and the parameters are the current ones.
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
			return "", fmt.Errorf("hash with the salt of another: %w", err)
		}
	} else if _, err := rand.Read(result.salt[:]); err != nil {
		return "", fmt.Errorf("make salt: %w", err)
	}

	leave, err := h.line.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	result.tag = h.compute(normal, result)
	return result.String(), nil
}

// NeedsRehash tells whether a hash is cheaper than the current parameters want. False for what is not a hash.
func (h *Hasher) NeedsRehash(hash string) bool {
	stored, err := parsePHC(hash)
	return err == nil && (stored.Memory < h.params.Memory || stored.Time < h.params.Time)
}

// Busy is a BusyError while all slots and all places in the queue are taken. Whoever has something to do before a hash asks
// first: what is refused then has cost nothing.
func (h *Hasher) Busy() error { return h.line.full() }

// Computed is how many hashes were computed so far.
func (h *Hasher) Computed() uint64 { return h.computed.Load() }

// Load is how busy a Hasher is. Counts are since its start.
type Load struct {
	Slots, Busy    int // hashes computed at a time: at the most, now
	Queue, Waiting int // calls that wait for a slot: at the most, now
	Computed       uint64
	Refused        uint64 // calls that got a BusyError
}

// Load tells how busy the Hasher is.
func (h *Hasher) Load() Load {
	inside, slots := len(h.line.places), h.line.most
	return Load{
		Slots: slots, Busy: min(inside, slots), Queue: cap(h.line.places) - slots, Waiting: max(0, inside-slots),
		Computed: h.computed.Load(), Refused: h.line.refused.Load(),
	}
}

// compute runs Argon2id with the salt and the parameters of like. The caller has a slot.
func (h *Hasher) compute(password []byte, like phc) (tag [tagSize]byte) {
	h.computed.Add(1)
	copy(tag[:], argon2.IDKey(password, like.salt[:], like.Time, like.Memory, like.Threads, tagSize))
	// The memory is collected before the slot is another's: so there is no more of it than there are slots. Left to itself the
	// collector lets as much again lie around, and more: in a flood of log-ins on 2 cores the service took 321 MiB, and 177 MiB so.
	// That is the price of a memory that can be told beforehand: of 31 hashes a second 23 were left.
	runtime.GC()
	return tag
}

// normalize returns the bytes that are hashed: the password in NFC (SP 800-63B), so that it is the same typed on
// another keyboard, and otherwise as it is: no trimming, no folding of case, and no repair of invalid UTF-8, which
// would make different passwords one. Invalid UTF-8 comes back as it is, with valid false.
func normalize(password string) (normal []byte, valid bool) {
	if !utf8.ValidString(password) {
		return []byte(password), false
	}
	return norm.NFC.Bytes([]byte(password)), true
}
