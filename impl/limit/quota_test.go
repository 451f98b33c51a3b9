package limit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/dbtest"
)

// onEachDatabase runs a test on both engines, with limits and a migrated database.
func onEachDatabase(t *testing.T, rates map[Name]Rate, test func(*testing.T, *Limits, *db.Store)) {
	t.Helper()
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) { test(t, New(root, rates), dbtest.Open(t, url)) })
}

var start = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// at returns a clock that always shows the same time: since after start.
func at(since time.Duration) func() time.Time {
	return func() time.Time { return start.Add(since) }
}

func (l *Limits) takeAt(ctx context.Context, store *db.Store, at time.Duration, quotas ...Quota) error {
	return store.InTx(ctx, func(q *db.Queries) error { return l.Take(ctx, q, start.Add(at), quotas...) })
}

func TestTakeRefills(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{LinkSource: {4, time.Hour}}, func(t *testing.T, l *Limits, store *db.Store) {
		quota := l.Quota(LinkSource, "subject")
		for i, step := range []struct {
			at   time.Duration
			wait time.Duration // 0: allowed
		}{
			{0, 0},
			{0, 0},
			{0, 0},
			{0, 0},
			{0, 15 * time.Minute},
			{14 * time.Minute, time.Minute},
			{15 * time.Minute, 0},
			{15 * time.Minute, 15 * time.Minute},
			{3 * time.Hour, 0},
			{3 * time.Hour, 0},
			{3 * time.Hour, 0},
			{3 * time.Hour, 0},
			{3 * time.Hour, 15 * time.Minute},
		} {
			err := l.takeAt(t.Context(), store, step.at, quota)
			exceeded, limited := errors.AsType[*ExceededError](err)
			if limited != (step.wait > 0) || limited && exceeded.Wait != step.wait || err != nil && !limited {
				t.Fatalf("step %d: %v, %+v; want a wait of %s", i, err, exceeded, step.wait)
			}
		}
		if err := l.takeAt(t.Context(), store, 3*time.Hour, l.Quota(LinkSource, "another subject"), l.Quota(MailAddress, "unlimited")); err != nil {
			t.Errorf("another subject: %v", err)
		}
	})
}

// Of several quotas, all are taken or none.
func TestTakeAllOrNone(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{SignUpSource: {2, time.Hour}, InviteSource: {1, time.Hour}}, func(t *testing.T, l *Limits, store *db.Store) {
		both := []Quota{l.Quota(SignUpSource, "s"), l.Quota(InviteSource, "s")}
		if err := l.takeAt(t.Context(), store, 0, both...); err != nil {
			t.Fatal(err)
		}
		err := l.takeAt(t.Context(), store, 0, both...)
		if exceeded, limited := errors.AsType[*ExceededError](err); !limited || exceeded.Limit != InviteSource {
			t.Errorf("the second: %v", err)
		}
		if err := l.takeAt(t.Context(), store, 0, both[0]); err != nil {
			t.Errorf("a quota was taken although the other one was used up: %v", err)
		}
	})
}

// Simultaneous requests get exactly the quota, while other rows are written.
func TestRaceTake(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{LoginSource: {10, time.Hour}, MailAddress: {1_000_000, time.Hour}},
		func(t *testing.T, l *Limits, store *db.Store) {
			var taken, refused atomic.Int64
			var running sync.WaitGroup
			for i := range 100 {
				running.Go(func() {
					subject, name := "one", LoginSource
					if i%4 == 3 { // other writes
						subject, name = "other", MailAddress
					}
					err := l.takeAt(t.Context(), store, 0, l.Quota(name, subject))
					_, limited := errors.AsType[*ExceededError](err)
					switch {
					case err != nil && !limited:
						t.Error(err)
					case name == MailAddress:
					case limited:
						refused.Add(1)
					default:
						taken.Add(1)
					}
				})
			}
			running.Wait()
			if taken.Load() != 10 || refused.Load() != 65 {
				t.Errorf("%d taken and %d refused of 75; want 10 and 65", taken.Load(), refused.Load())
			}
		})
}

func TestZeroLimitsWriteNothing(t *testing.T) {
	onEachDatabase(t, nil, func(t *testing.T, l *Limits, store *db.Store) {
		attempt, err := l.BeginLogin(t.Context(), store, at(0), Login{Address: "a@example.com"})
		if err != nil || attempt.id != uuid.Nil {
			t.Errorf("%+v, %v", attempt, err)
		}
		if err := l.takeAt(t.Context(), store, 0, l.Quota(LinkSource, "s")); err != nil {
			t.Error(err)
		}
		if err := l.ReleaseLogin(t.Context(), store, start, attempt); err != nil {
			t.Error(err)
		}
		if _, err := l.RecordLoginFailure(t.Context(), store, start, attempt); err != nil {
			t.Error(err)
		}
		for _, key := range [][]byte{l.key(LinkSource, "s"), l.key(LoginAccount, "a@example.com")} {
			if _, err := store.Read().GetRateLimit(t.Context(), key); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("a row was written: %v", err)
			}
		}
	})
}

func TestClientIP(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1":              "192.0.2.1",
		"::ffff:192.0.2.1":       "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1:2::/64",
		"2001:DB8:1:2::1":        "2001:db8:1:2::/64",
		"fe80::1%eth0":           "fe80::/64",
		"2001:db8:1:3::":         "2001:db8:1:3::/64",
		"64:ff9b::192.0.2.1":     "192.0.2.1",
		"::ffff:0:0":             "0.0.0.0",
		"2001:db8:0:0:ffff::1:1": "2001:db8::/64",
	} {
		if got := ClientIP(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := ClientIP(netip.Addr{}); got != "invalid IP" {
		t.Errorf("no address: %q", got)
	}
}

// The database contains no address.
func TestKeysAreKeyedHashes(t *testing.T) {
	t.Parallel()
	one, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	other, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, root := range []secret.Root{one, other} {
		l := New(root, nil)
		for _, name := range []Name{LoginAccount, LoginSource, MailAddress, SignUpSource, ResetSource, InviteSource, LinkSource, EmailAccount} {
			for _, subject := range []string{"a@example.com", "b@example.com"} {
				key := string(l.key(name, subject))
				if seen[key] || len(key) != secret.Size {
					t.Errorf("the key of %s and %s is not unique, or has %d bytes", name, subject, len(key))
				}
				seen[key] = true
			}
		}
	}
}

// A client that waits as long as one replica told it to is accepted by another one that is 5 s behind. A burst still gets no more than the
// limit.
func TestTakeToleratesClocks(t *testing.T) {
	onEachDatabase(t, map[Name]Rate{SignUpSource: {60, time.Hour}, ResetSource: {100, 10 * time.Minute}}, func(t *testing.T, l *Limits, store *db.Store) {
		for name, rate := range l.rates {
			quota := l.Quota(name, "s")
			for range rate.Count {
				if err := l.takeAt(t.Context(), store, 5*time.Second, quota); err != nil { // on a replica whose clock is ahead
					t.Fatal(err)
				}
			}
			exceeded, limited := errors.AsType[*ExceededError](l.takeAt(t.Context(), store, 5*time.Second, quota))
			if !limited || exceeded.Wait != rate.Per/time.Duration(rate.Count) {
				t.Fatalf("%s, one more: %+v", name, exceeded)
			}
			if err := l.takeAt(t.Context(), store, exceeded.Wait, quota); err != nil { // on a replica whose clock is behind
				t.Errorf("%s, after the wait: %v", name, err)
			}
		}
	})
}
