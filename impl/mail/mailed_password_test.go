package mail

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
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
