package totp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/totp"
	"github.com/financelime/authorization/test/dbtest"
)

// replica is what one replica has of the TOTP secrets.
type replica struct {
	*totp.Resealer

	t   *testing.T
	log *bytes.Buffer
}

func newReplica(t *testing.T, store *db.Store, root secret.Root) *replica {
	t.Helper()
	r := &replica{t: t, log: new(bytes.Buffer)}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	keys, err := token.OpenKeys(t.Context(), store, root, token.Config{Issuer: "i", Audience: "a", Algorithm: token.ES256, AccessTTL: time.Minute, RefreshTTL: time.Hour}, log)
	must(t, err)
	sealer, err := totp.NewSealer(root)
	must(t, err)
	r.Resealer = &totp.Resealer{Store: store, Sealer: sealer, Outdated: keys.Outdated, Log: log}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add stores a confirmed secret of a new account.
func (r *replica) add() (accountID uuid.UUID, plain totp.Secret) {
	r.t.Helper()
	accountID = uuid.Must(uuid.NewV7())
	plain, err := totp.NewSecret()
	must(r.t, err)
	sealed, err := r.Sealer.Seal(plain, accountID)
	must(r.t, err)
	must(r.t, r.Store.InTx(r.t.Context(), func(q *db.Queries) error {
		now := time.Now()
		_, err := q.InsertAccount(r.t.Context(), db.InsertAccountParams{ID: accountID, Email: accountID.String(), CreatedAt: now})
		return errors.Join(err,
			q.BeginTOTP(r.t.Context(), db.BeginTOTPParams{AccountID: accountID, PendingSealed: sealed, PendingAt: &now}),
			ignoreCount(q.ConfirmTOTP(r.t.Context(), db.ConfirmTOTPParams{Now: &now, Step: 1, AccountID: accountID})))
	}))
	return accountID, plain
}

func ignoreCount(_ int64, err error) error { return err }

// run runs the resealer once and checks its counts.
func (r *replica) run(when string, want totp.Status) {
	r.t.Helper()
	must(r.t, r.RunOnce(r.t.Context()))
	if got, known := r.Status(); got != want || !known {
		r.t.Errorf("%s: %+v, want %+v", when, got, want)
	}
}

func (r *replica) sealed(id uuid.UUID) []byte {
	r.t.Helper()
	row, err := r.Store.Read().GetTOTP(r.t.Context(), id)
	must(r.t, err)
	return row.Sealed
}

func roots(t *testing.T) (before, after secret.Root) {
	t.Helper()
	before, err := secret.Generate()
	must(t, err)
	after, err = secret.Generate()
	must(t, err)
	return before, after
}

// While AUTH_SECRET is changed replica by replica, the replicas at the later step seal anew, those at the earlier step do not, and in the end the new
// secret alone opens everything.
func TestReseal(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		before, after := roots(t)
		store := dbtest.Open(t, url)
		start := newReplica(t, store, before)
		plains := make(map[uuid.UUID]totp.Secret)
		for range 205 { // more than two batches
			id, plain := start.add()
			plains[id] = plain
		}
		start.run("before the change", totp.Status{})

		first := newReplica(t, store, before.Accepting(after))
		first.run("step 1", totp.Status{})
		second := newReplica(t, store, after.Accepting(before))
		if status, err := totp.Check(t.Context(), store, second.Sealer); err != nil || status.Previous != 205 {
			t.Errorf("before they are sealed anew: %+v, %v", status, err)
		}
		second.run("step 2", totp.Status{})
		first.run("step 1 beside step 2", totp.Status{Previous: 205})
		id, plain := first.add() // the replica at step 1 still seals under the old secret
		plains[id] = plain
		kept := second.sealed(id)
		second.run("step 2 again", totp.Status{})
		if bytes.Equal(kept, second.sealed(id)) {
			t.Error("a secret of the replica at step 1 was not sealed anew")
		}
		if n := strings.Count(second.log.String(), "totp.resealed"); n != 2 || strings.Contains(first.log.String(), "totp.resealed") {
			t.Errorf("sealed anew %d times by the one, and by the other: %s", n, first.log)
		}

		last := newReplica(t, store, after)
		last.run("step 3", totp.Status{})
		for id, plain := range plains {
			opened, err := last.Sealer.Open(last.sealed(id), id)
			if err != nil || opened.Base32() != plain.Base32() {
				t.Fatalf("a secret under the new AUTH_SECRET: %v", err)
			}
		}
	})
}

// Step 2 is undone: what is sealed under the newer secret stays so while a signing key shows that it is the newer one.
func TestResealAfterUndo(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		before, after := roots(t)
		store := dbtest.Open(t, url)
		newReplica(t, store, before)
		later := newReplica(t, store, after.Accepting(before))
		later.add()
		undone := newReplica(t, store, before.Accepting(after))
		undone.run("after the undo", totp.Status{Previous: 1})
		// The keys that show the order are gone, as after `keys rotate` and the wait that docs/keys.md tells.
		must(t, store.Write(t.Context(), func(q *db.Queries) error {
			_, err := q.DeleteOlderSigningKeys(t.Context(), 1<<62)
			return err
		}))
		newReplica(t, store, before.Accepting(after)).run("after the rotation", totp.Status{})
	})
}

// A secret that no AUTH_SECRET opens is counted and logged once, and deleted only on request. A damaged one does not prevent others.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		before, after := roots(t)
		store := dbtest.Open(t, url)
		old := newReplica(t, store, before)
		damaged, _ := old.add()
		intact, _ := old.add()
		sealed := old.sealed(damaged)
		sealed[len(sealed)-1] ^= 1
		seen := old.sealed(damaged)
		for _, want := range []int64{1, 0} { // the second time, what it has read is no longer stored
			must(t, store.Write(t.Context(), func(q *db.Queries) error {
				n, err := q.ResealTOTP(t.Context(), db.ResealTOTPParams{Sealed: sealed, AccountID: damaged, OldSealed: seen})
				if n != want {
					t.Errorf("%d rows are written, want %d", n, want)
				}
				return err
			}))
		}
		newReplica(t, store, after.Accepting(before)).run("with a damaged row", totp.Status{Previous: 1})

		other, _ := roots(t)
		sealer, err := totp.NewSealer(other)
		must(t, err)
		var log bytes.Buffer
		lost := &totp.Resealer{Store: store, Sealer: sealer, Outdated: func(context.Context, int) (bool, error) { return true, nil }, Log: slog.New(slog.NewTextHandler(&log, nil))}
		for range 3 {
			must(t, lost.RunOnce(t.Context()))
		}
		if status, _ := lost.Status(); status.Unreadable != 2 || strings.Count(log.String(), "totp.unreadable") != 1 {
			t.Errorf("%+v: %s", status, &log)
		}
		if n, err := totp.DeleteUnreadable(t.Context(), store, after.Accepting(before)); n != 0 || err != nil {
			t.Errorf("%d readable secrets are deleted: %v", n, err)
		}
		if n, err := totp.DeleteUnreadable(t.Context(), store, after); n != 1 || err != nil { // the damaged one
			t.Errorf("%d secrets are deleted: %v", n, err)
		}
		if _, err := sealer.Open(old.sealed(intact), intact); !errors.Is(err, totp.ErrForeignSecret) {
			t.Errorf("under another secret: %v", err)
		}
	})
}
