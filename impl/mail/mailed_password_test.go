package mail

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/password"
)

func TestNewerPasswordReplacesOlder(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		first := f.enqueuePassword(t, account)
		f.deliverNext(t)
		second := f.enqueuePassword(t, account)
		f.deliverNext(t)
		f.expectRow(t, first, row{Sent: true, Attempts: 1})
		f.expectRow(t, second, row{Sent: true, Attempts: 1})
		sent := f.transport.sent()
		if f.passwordWorks(t, account, secretOf(t, sent[0], "-")) || !f.passwordWorks(t, account, secretOf(t, sent[1], "-")) {
			t.Error("the newer password does not work, or the older one does")
		}
		if f.readAccount(t, account).PasswordHash != nil {
			t.Error("a mail alone has changed the password")
		}
	})
}

// An older mail that a slow worker still holds cannot set its pending password any more.
func TestOlderPasswordIsSuperseded(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		older := f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword, Nonce: []byte("0123456789abcdef")})
		slow, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		newer := f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword, Nonce: []byte("fedcba9876543210")})
		f.deliverNext(t)
		f.deliver(t.Context(), t.Context(), slow)
		f.expectRow(t, older, row{Dead: true, Attempts: 1, LastError: "superseded"})
		f.expectRow(t, newer, row{Sent: true, Attempts: 1})
		if sent := f.transport.attempts(); len(sent) != 1 || !f.passwordWorks(t, account, secretOf(t, sent[0], "-")) {
			t.Error("not only the newer password was sent")
		}
	})
}

// Every mailed password expires. Here its mail arrives, but the result cannot be recorded, because a newer password has withdrawn the mail.
// Then the newer mail fails permanently before its password is pending.
func TestEveryMailedPasswordEnds(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.enqueuePassword(t, account)
		var second uuid.UUID
		f.transport.failWith(func(context.Context, Envelope) error {
			f.clock.Advance(time.Minute)
			f.write(t, func(ctx context.Context, q *db.Queries) error { return q.DeleteOlderPasswordMails(ctx, account) })
			second = f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword}) // without a nonce
			return nil
		})
		f.deliverNext(t)
		f.transport.failWith(nil)
		f.deliverNext(t)
		f.expectRow(t, second, row{Dead: true, Attempts: 1, LastError: "the row of a password has no nonce"})
		word := secretOf(t, f.transport.sent()[0], "-")
		f.clock.Advance(24*time.Hour - time.Microsecond)
		if !f.passwordWorks(t, account, word) {
			t.Error("expired too early")
		}
		f.clock.Advance(leaseTimeout + attemptTimeouts*testTimeout)
		if f.passwordWorks(t, account, word) {
			t.Error("does not expire")
		}
	})
}

// The lifetime of a password begins with the attempt that succeeds, however late that is.
func TestLateMailedPasswordLives(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.enqueuePassword(t, account)
		f.transport.failWith(unreachable)
		for range 30 { // hours without a relay, with one attempt each
			f.clock.Advance(time.Hour)
			if f.Clock.Now().Before(sampleDate.Add(giveUpAfter)) {
				f.deliverNext(t)
			}
		}
		reached := false
		f.transport.failWith(func(context.Context, Envelope) error {
			reached = true
			until := f.Clock.Now().Add(leaseTimeout + attemptTimeouts*testTimeout + 24*time.Hour)
			if a := f.readAccount(t, account); !a.PendingPasswordExpiresAt.Equal(until) {
				t.Errorf("pending until %s, want %s", a.PendingPasswordExpiresAt, until)
			}
			return nil
		})
		f.deliverNext(t)
		f.clock.Advance(24*time.Hour - time.Microsecond)
		if !reached || !f.passwordWorks(t, account, secretOf(t, f.transport.sent()[0], "-")) {
			t.Error("the password expired too early")
		}
	})
}

// All hashes of an account have the same salt, so that a login computes one hash, even with a pending password.
func TestHashesShareTheSalt(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		account := f.account(t, "jane@example.org", "en")
		f.enqueuePassword(t, account)
		f.deliverNext(t)
		now := f.Clock.Now()
		pending := f.readAccount(t, account).PendingPasswordHash
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			if _, err := q.ConfirmAccount(ctx, account); err != nil {
				return err
			}
			_, err := q.RecordLoginWithPendingPassword(ctx, db.RecordLoginWithPendingPasswordParams{ID: account, Now: &now, VerifiedHash: pending})
			return err
		})
		f.enqueuePassword(t, account)
		f.deliverNext(t)
		a := f.readAccount(t, account)
		if a.PasswordHash == nil || a.PendingPasswordHash == nil || *a.PasswordHash == *a.PendingPasswordHash {
			t.Fatalf("not two passwords: %+v", a)
		}
		before := f.Hasher.Computed()
		if i, err := f.Hasher.Match(t.Context(), secretOf(t, f.transport.sent()[1], "-"), *a.PasswordHash, *a.PendingPasswordHash); i != 1 || err != nil {
			t.Errorf("matches %d, %v", i, err)
		}
		if n := f.Hasher.Computed() - before; n != 1 {
			t.Errorf("%d hashes computed for one login", n)
		}
	})
}

// An attempt that waits for a hashing slot until its deadline is not counted, and the mail is tried again soon.
func TestWaitForHashIsNotCounted(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		id := f.enqueuePassword(t, f.account(t, "jane@example.org", "en"))
		cheap := f.Hasher
		var release func()
		f.Hasher, release = busyHasher(t)
		m, err := f.leaseNext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.sendDeadline = time.Now().Add(500 * time.Millisecond)
		f.deliver(t.Context(), t.Context(), m)
		release()

		got := f.row(t, id)
		if !strings.Contains(got.LastError, "wait to hash a password: context deadline exceeded") {
			t.Fatalf("the attempt did not wait until its deadline: %+v", got)
		}
		f.expectRow(t, id, row{Nonce: true, LastError: got.LastError})
		if f.countLogged("mail.retried") != 0 || f.RelayDown() || len(f.transport.attempts()) != 0 {
			t.Errorf("counted as a failure of the mail or of the relay:\n%s", f.log.String())
		}
		if f.deliverNext(t) {
			t.Error("tried again without a delay")
		}
		f.Hasher = cheap
		f.clock.Advance(2 * time.Second)
		f.deliverNext(t)
		f.expectRow(t, id, row{Sent: true, Attempts: 1})
	})
}

// busyHasher returns a hasher whose only slot is busy for longer than a test waits, until release is called.
func busyHasher(t *testing.T) (hasher *password.Hasher, release func()) {
	t.Helper()
	const ahead = 50
	hasher = password.NewHasher(password.Options{Slots: 1, Queue: ahead, Params: password.Params{Memory: 64 * 1024, Time: 2, Threads: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range ahead {
		calls.Go(func() {
			if _, err := hasher.Match(ctx, "x"); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	release = func() {
		cancel()
		calls.Wait()
	}
	t.Cleanup(release)
	eventually(t, "the slot is busy and the other calls wait", func() bool {
		load := hasher.Load()
		return load.Computed > 0 && load.Waiting+int(load.Computed) >= ahead
	})
	return hasher, release
}
