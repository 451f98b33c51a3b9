// Package limit bounds how often a source or an account may try what costs somebody else something: guesses at
// passwords, codes and links, and mails. What was used is in the database, so all replicas share it.
//
// A use is taken before what it is for, and given back when that turned out to be harmless, so that many requests at
// once can not do more than one after another.
package limit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
)

// Name is a limit's name, as clients and operators see it.
type Name string

// The limits. What they are for is in docs/limits.md.
const (
	LogInAccount Name = "login-account"
	LogInSource  Name = "login-source"
	MailAddress  Name = "mail-address"
	SignUpSource Name = "signup-source"
	ResetSource  Name = "reset-source"
	InviteSource Name = "invite-source"
	LinkSource   Name = "link-source"
)

// Limits are the limits of a service. The zero Limits refuse nothing and write nothing.
type Limits struct {
	root  secret.Root
	rates map[Name]Rate
}

// New makes limits. One without a rate refuses nothing.
func New(root secret.Root, rates map[Name]Rate) *Limits {
	return &Limits{root: root, rates: rates}
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

// None tells whether none of the uses is limited.
func None(uses ...Use) bool {
	return !slices.ContainsFunc(uses, func(u Use) bool { return u.key != nil })
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

// TakeNow takes uses as Take does, in a transaction of its own.
func (l *Limits) TakeNow(ctx context.Context, store *db.Store, now time.Time, uses ...Use) error {
	if err := look(ctx, store.Read(), now, uses...); err != nil {
		return err
	}
	return store.InTx(ctx, func(q *db.Queries) error { return l.Take(ctx, q, now, uses...) })
}

// look fails with an [ExceededError] at the first of some uses of which there is none left. A flood that is refused so neither locks
// nor writes a row, and does not wait for itself.
func look(ctx context.Context, q *db.Queries, now time.Time, uses ...Use) error {
	for _, u := range uses {
		if u.key == nil {
			continue
		}
		wait, err := u.wait(ctx, q, now)
		if err != nil {
			return err
		}
		if wait > 0 {
			return &ExceededError{Limit: u.limit, Rate: u.rate, Wait: wait}
		}
	}
	return nil
}

// Take takes uses, in their order, in the transaction of q. It fails with an [ExceededError] at the first of which there is none
// left; the transaction is then to be rolled back, so that none is taken.
func (l *Limits) Take(ctx context.Context, q *db.Queries, now time.Time, uses ...Use) error {
	for _, u := range uses {
		if u.key == nil {
			continue
		}
		_, err := q.TakeFromLimit(ctx, db.TakeFromLimitParams{
			Key: u.key, Now: now.UnixMicro(), Cost: u.rate.refill(), Room: u.rate.room(),
		})
		if errors.Is(err, db.ErrNotFound) {
			wait, err := u.wait(ctx, q, now)
			if err != nil {
				return err
			}
			return &ExceededError{Limit: u.limit, Rate: u.rate, Wait: max(wait, 0)}
		}
		if err != nil {
			return fmt.Errorf("take from the limit %s: %w", u.limit, err)
		}
	}
	return nil
}

// wait is how long it takes until there is a use again; not positive while there is one.
func (u Use) wait(ctx context.Context, q *db.Queries, now time.Time) (time.Duration, error) {
	used, err := q.GetLimitUse(ctx, u.key)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return 0, fmt.Errorf("look at the limit %s: %w", u.limit, err)
	}
	return time.Duration(used-u.rate.room()-now.UnixMicro()) * time.Microsecond, nil
}

// GiveBack gives uses back in the transaction of q.
func (l *Limits) GiveBack(ctx context.Context, q *db.Queries, uses ...Use) error {
	for _, u := range uses {
		if u.key == nil {
			continue
		}
		if err := q.GiveBackToLimit(ctx, db.GiveBackToLimitParams{Cost: u.rate.refill(), Key: u.key}); err != nil {
			return fmt.Errorf("give back to the limit %s: %w", u.limit, err)
		}
	}
	return nil
}
