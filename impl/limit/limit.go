// Package limit bounds how often a source or an account may try what costs somebody else something: guesses at passwords, codes
// and links, and mails. What was used is in the database, so all replicas share it.
//
// # The model
//
// Only guesses count, and nobody is refused for what others have only begun. There are two forms.
//
// What one transaction decides (a sign-up, a reset, an unknown link) locks the row of its limit, looks whether anything is left, decides,
// and counts, all in that transaction: [Limits.Take], [Limits.Lock]. Those that share the limit do so one after another. Whatever fails,
// hangs up or is killed rolls back, and has counted nothing.
//
// A log-in takes longer, because it hashes a password and may hold no transaction meanwhile. So [Limits.Begin] reserves a place for it, in a
// row of its own, and how it ends settles it:
//
//	matched       [Limits.Succeed], in the log-in's transaction: the place is free, and the account's failures are forgotten
//	refused       [Limits.Fail]: the place is free, and a failure is counted
//	unavailable   [Limits.Undo]: the place is free, and nothing is counted
//	too busy      [Limits.Undo]
//	hung up       as it ended, if a password was compared before; [Limits.Undo] otherwise
//	killed        nothing: the place lapses after half a minute
//
// A log-in for which there would be room, were it not for others under way, waits until they have ended, with at most eight for one account. So many at once get no more guesses
// than one after another, and none is refused for what others have only begun.
//
// # Clocks
//
// A row remembers the latest time at which anybody wrote it, and a clock that is behind that goes by it. A clock that is behind by seconds, or
// was set back by minutes, refills nothing twice; it only refuses again, and for as much longer, what was refused lately. What was
// written by a clock more than an hour ahead says nothing. Every wait is enforced up to five seconds less than it is told, so that
// whoever waits as long as they were told is let in by a replica whose clock is behind, too.
package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
)

// Name is a limit's name, as clients and operators see it.
type Name string

// The limits. What they are for is in docs/limits.md.
const (
	LoginAccount Name = "login-account"
	LoginSource  Name = "login-source"
	MailAddress  Name = "mail-address"
	SignUpSource Name = "signup-source"
	ResetSource  Name = "reset-source"
	InviteSource Name = "invite-source"
	LinkSource   Name = "link-source"
)

// Limits are the limits of a service. The zero Limits refuse nothing and write nothing.
type Limits struct {
	// Wait is how long a log-in may wait for others that are under way; 0 means one second.
	Wait time.Duration

	root  secret.Root
	rates map[Name]Rate
	turns keyedMutex // one log-in at a time asks to begin, of those with the same account
	rows  keyedMutex // one transaction at a time locks a source's row
}

// New makes limits. One without a rate refuses nothing.
func New(root secret.Root, rates map[Name]Rate) *Limits {
	return &Limits{root: root, rates: rates, turns: keyedMutex{most: maxWaiting}}
}

// ExceededError refuses what a limit does not allow yet.
type ExceededError struct {
	Limit Name
	Rate  Rate
	Wait  time.Duration // until it may be tried again
}

func (e *ExceededError) Error() string { return fmt.Sprintf("limit %s (%s) exceeded", e.Limit, e.Rate) }

// LimitName is the limit's name, as clients see it.
func (e *ExceededError) LimitName() string { return string(e.Limit) }

// Quota is how many uses the limit allows in a Window.
func (e *ExceededError) Quota() int64 { return e.Rate.Count }

// Window is how long all of the limit takes to refill.
func (e *ExceededError) Window() time.Duration { return e.Rate.Per }

// RetryAfter is how long the caller has to wait.
func (e *ExceededError) RetryAfter() time.Duration { return e.Wait }

// Use is one use of a limit by a subject. The zero Use is none.
type Use struct {
	limit Name
	rate  Rate
	key   []byte
}

// By is a use by an address or whatever else names a subject.
func (l *Limits) By(name Name, subject string) Use {
	rate, limited := l.rates[name]
	if !limited {
		return Use{}
	}
	return Use{limit: name, rate: rate, key: l.key(name, subject)}
}

// From is a use by a source address.
func (l *Limits) From(name Name, source netip.Addr) Use { return l.By(name, Source(source)) }

// key is what the database knows of a subject.
func (l *Limits) key(name Name, subject string) []byte {
	return l.root.Hash("limit", []byte(string(name)+"\x00"+subject))
}

// Source is the one spelling of all addresses that are one source: an IPv4 address, or the 64 bits of an IPv6 address
// that a provider gives to one customer, within which the customer may choose.
func Source(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	// 64:ff9b::/96 are the IPv4 addresses of the internet as an IPv6-only network sees them (RFC 6052 section 2.1).
	bytes := addr.As16()
	if [12]byte(bytes[:12]) == [12]byte{0, 0x64, 0xff, 0x9b} {
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if !addr.Is6() {
		return addr.String()
	}
	network, _ := addr.Prefix(64) // fails for no IPv6 address
	return network.String()
}

// Check fails with an [ExceededError] at the first of some uses of which there is none left. It locks and writes nothing: a flood that is
// refused so does not wait for itself. Whoever passes takes the uses in a transaction.
func (l *Limits) Check(ctx context.Context, store *db.Store, now time.Time, uses ...Use) error {
	for _, u := range uses {
		if u.key == nil {
			continue
		}
		row, err := store.Read().GetRateLimit(ctx, u.key)
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("look at the limit %s: %w", u.limit, err)
		}
		if err := u.exceeded(bucketOf(row).at(now)); err != nil {
			return err
		}
	}
	return nil
}

// InTurn waits until no other request of this process has a transaction under way for which it waits here, with the same limit of the same
// source. So those who wait for the source's row hold one connection to the database, and not all of them. The caller calls done after its
// transaction.
func (l *Limits) InTurn(ctx context.Context, u Use) (done func(), err error) {
	if u.key == nil {
		return func() {}, nil
	}
	done, err = l.rows.lock(ctx, string(u.key))
	if err != nil {
		return nil, fmt.Errorf("wait for others of the same source: %w", err)
	}
	return done, nil
}

// Take takes uses, in their order, in the transaction of q. It fails with an [ExceededError] at the first of which there is none left;
// the transaction is then to be rolled back, so that none is taken.
func (l *Limits) Take(ctx context.Context, q *db.Queries, now time.Time, uses ...Use) error {
	for _, u := range uses {
		locked, err := l.Lock(ctx, q, now, u)
		if err != nil {
			return err
		}
		if err := locked.Take(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Lock holds a limit until the transaction of q ends, without taking anything: whether it is a use shows later in the transaction. It fails
// with an [ExceededError] where nothing is left.
func (l *Limits) Lock(ctx context.Context, q *db.Queries, now time.Time, u Use) (Locked, error) {
	if u.key == nil {
		return Locked{}, nil
	}
	row, err := q.LockRateLimit(ctx, u.key)
	if err != nil {
		return Locked{}, fmt.Errorf("lock the limit %s: %w", u.limit, err)
	}
	locked := Locked{use: u, bucket: bucketOf(row).at(now)}
	return locked, u.exceeded(locked.bucket)
}

// Locked is a limit that a transaction has locked. The zero Locked is none.
type Locked struct {
	use    Use
	bucket bucket
}

// Take takes one use, in the transaction that has locked the limit.
func (k Locked) Take(ctx context.Context, q *db.Queries) error {
	if k.use.key == nil {
		return nil
	}
	used := k.bucket.take(k.use.rate)
	if err := q.UpdateRateLimit(ctx, db.UpdateRateLimitParams{Key: k.use.key, FullAt: used.usedUntil, SeenAt: used.seenAt}); err != nil {
		return fmt.Errorf("take from the limit %s: %w", k.use.limit, err)
	}
	return nil
}

// exceeded is an [ExceededError] where nothing is left.
func (u Use) exceeded(b bucket) error {
	if b.left(u.rate) > 0 {
		return nil
	}
	return &ExceededError{Limit: u.limit, Rate: u.rate, Wait: b.wait(u.rate)}
}
