package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/userdata"
	"github.com/financelime/authorization/test/dbtest"
)

const (
	rpID    = "auth.example.org"
	synced  = 0x1d // user present and verified, backup eligible and backed up
	notCopy = 0x05 // user present and verified
)

// addTOTP inserts a confirmed TOTP secret; confirmed again, it replaces the one before.
func addTOTP(ctx context.Context, q *db.Queries, id uuid.UUID, at time.Time) error {
	sealed := []byte("sealed")
	err := q.BeginTOTP(ctx, db.BeginTOTPParams{AccountID: id, PendingSealed: sealed, PendingAt: &at})
	if err != nil {
		return err
	}
	_, err = q.ConfirmTOTP(ctx, db.ConfirmTOTPParams{AccountID: id, Now: &at, Step: at.Unix() / 30})
	return err
}

func addCode(ctx context.Context, q *db.Queries, id uuid.UUID, at time.Time) error {
	random := uuid.New()
	return q.InsertRecoveryCode(ctx, db.InsertRecoveryCodeParams{CodeHash: append([]byte("hash of a code"), random[:]...), AccountID: id, CreatedAt: at})
}

func addPasskey(ctx context.Context, q *db.Queries, id uuid.UUID, rpID string, flags int64, at time.Time) error {
	key := uuid.Must(uuid.NewV7())
	return q.InsertPasskey(ctx, db.InsertPasskeyParams{
		ID: key, AccountID: id, RpID: rpID, CredentialID: append([]byte("credential"), key[:]...), PublicKey: []byte("public key"), Flags: flags,
		Transports: "internal", Name: "Phone", CreatedAt: at,
	})
}

// insertFactors gives an account one of each.
func insertFactors(ctx context.Context, q *db.Queries, id uuid.UUID, at time.Time) error {
	return errors.Join(
		addTOTP(ctx, q, id, at), addCode(ctx, q, id, at), addPasskey(ctx, q, id, rpID, synced, at),
		q.SetSecondFactorSince(ctx, db.SetSecondFactorSinceParams{Since: &at, ID: id}),
	)
}

// insertUser inserts an account without anything.
func insertUser(t *testing.T, store *db.Store) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	must(t, store.Write(t.Context(), func(q *db.Queries) error {
		_, err := q.InsertAccount(t.Context(), db.InsertAccountParams{ID: id, Email: id.String() + "@example.org", Language: "en"})
		return err
	}))
	return id
}

// An export has the second factors without their secrets, and omits what there is not.
func TestExportOfFactors(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		now := time.Date(2031, 2, 3, 4, 5, 30, 7000, time.UTC)
		export := func(id uuid.UUID, maxRows int64) (e api.UserExport) {
			t.Helper()
			account, err := store.Read().GetAccount(t.Context(), id)
			must(t, err)
			e, err = userdata.ExportAtMost(t.Context(), store.Read(), account, uuid.Nil, now, maxRows)
			must(t, err)
			return e
		}
		id := insertUser(t, store)
		if e := export(id, 9); e.Totp != nil || e.RecoveryCodes != nil || e.Passkeys == nil || len(e.Passkeys) > 0 || e.SecondFactorSince != nil ||
			e.SecondFactorFailures != nil || e.SecondFactorNotifiedAt != nil || e.User.SecondFactor.On {
			t.Errorf("without a factor: %+v", e)
		}
		must(t, store.InTx(t.Context(), func(q *db.Queries) error {
			ctx := t.Context()
			return errors.Join(
				insertFactors(ctx, q, id, now), addCode(ctx, q, id, now), addPasskey(ctx, q, id, "old.example.org", notCopy, now),
				q.BeginTOTP(ctx, db.BeginTOTPParams{AccountID: id, PendingSealed: []byte("sealed"), PendingAt: &now}),
				q.RecordSecondFactorFailure(ctx, id),
			)
		}))
		at := clock.Format(now)
		e := export(id, 9)
		want := api.SecondFactor{On: true, Totp: true, Passkeys: 2, RecoveryCodesLeft: 2}
		if e.User.SecondFactor != want || *e.SecondFactorSince != at || *e.SecondFactorFailures != 1 {
			t.Errorf("%+v", e)
		}
		if codes := (api.UserExportRecoveryCodes{Left: 2, CreatedAt: at}); *e.RecoveryCodes != codes {
			t.Errorf("recovery codes: %+v", e.RecoveryCodes)
		}
		if used := clock.Format(now.Truncate(30 * time.Second)); *e.Totp.ConfirmedAt != at || *e.Totp.BegunAt != at || *e.Totp.UsedAt != used {
			t.Errorf("TOTP: %v %v %v", *e.Totp.ConfirmedAt, *e.Totp.BegunAt, *e.Totp.UsedAt)
		}
		if !e.Passkeys[0].Synced || e.Passkeys[1].Synced || e.Passkeys[1].RpID != "old.example.org" || e.Passkeys[0].UsedAt != nil {
			t.Errorf("passkeys: %+v", e.Passkeys)
		}
		if n := len(export(id, 1).Passkeys); n != 1 {
			t.Errorf("%d passkeys of 1 at most", n)
		}
	})
}

var (
	changed       = time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	before, after = changed.Add(-time.Hour), changed.Add(time.Hour)
)

// removal is what an account has when a change of its address is undone, and what is left.
type removal struct {
	on          *time.Time // since when the second factor is on
	totp, begun *time.Time
	codes       *time.Time
	passkeys    []time.Time
	foreign     bool // the passkeys are for another domain
	want        userdata.RemovedFactors
	left        db.GetSecondFactorRow
	wantOn      bool
}

var removals = map[string]removal{
	"nothing":                      {},
	"all before":                   {on: &before, totp: &before, codes: &before, passkeys: []time.Time{before}, left: db.GetSecondFactorRow{Totp: 1, RecoveryCodes: 1, UsablePasskeys: 1, Passkeys: 1}, wantOn: true},
	"all since":                    {on: &after, totp: &after, codes: &after, passkeys: []time.Time{after}, want: userdata.RemovedFactors{TurnedOff: true, TOTP: true, RecoveryCodes: 1, Passkeys: 1}},
	"a passkey since":              {on: &before, totp: &before, codes: &before, passkeys: []time.Time{before, after}, want: userdata.RemovedFactors{Passkeys: 1}, left: db.GetSecondFactorRow{Totp: 1, RecoveryCodes: 1, UsablePasskeys: 1, Passkeys: 1}, wantOn: true},
	"passkeys alone":               {passkeys: []time.Time{before, after}, want: userdata.RemovedFactors{Passkeys: 1}, left: db.GetSecondFactorRow{UsablePasskeys: 1, Passkeys: 1}},
	"turned on since, older key":   {on: &after, codes: &after, passkeys: []time.Time{before}, want: userdata.RemovedFactors{TurnedOff: true, RecoveryCodes: 1}, left: db.GetSecondFactorRow{UsablePasskeys: 1, Passkeys: 1}},
	"codes renewed since":          {on: &before, totp: &before, codes: &after, want: userdata.RemovedFactors{RecoveryCodes: 1}, left: db.GetSecondFactorRow{Totp: 1}, wantOn: true},
	"app replaced, a key left":     {on: &before, totp: &after, codes: &before, passkeys: []time.Time{before}, want: userdata.RemovedFactors{TOTP: true}, left: db.GetSecondFactorRow{RecoveryCodes: 1, UsablePasskeys: 1, Passkeys: 1}, wantOn: true},
	"app replaced, nothing left":   {on: &before, totp: &after, codes: &before, want: userdata.RemovedFactors{TurnedOff: true, TOTP: true, RecoveryCodes: 1}},
	"app replaced, foreign key":    {on: &before, totp: &after, passkeys: []time.Time{before}, foreign: true, want: userdata.RemovedFactors{TurnedOff: true, TOTP: true}, left: db.GetSecondFactorRow{Passkeys: 1}},
	"keys only, replaced":          {on: &before, codes: &before, passkeys: []time.Time{after}, want: userdata.RemovedFactors{TurnedOff: true, RecoveryCodes: 1, Passkeys: 1}},
	"begun, not confirmed":         {begun: &after},
	"begun beside a confirmed one": {on: &before, totp: &before, begun: &before, left: db.GetSecondFactorRow{Totp: 1}, wantOn: true},
	"within the margin of clocks":  {on: &before, totp: &before, passkeys: []time.Time{changed.Add(-30 * time.Second)}, want: userdata.RemovedFactors{Passkeys: 1}, left: db.GetSecondFactorRow{Totp: 1}, wantOn: true},
}

// An undo of a changed address removes what was added since the change, and nothing older. What is left decides whether the second factor is on.
func TestRemoveFactorsSince(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store := dbtest.Open(t, url)
		other := insertUser(t, store)
		must(t, store.InTx(t.Context(), func(q *db.Queries) error { return insertFactors(t.Context(), q, other, after) }))
		for name, c := range removals {
			t.Run(name, func(t *testing.T) { c.test(t, store) })
		}
		all := db.GetSecondFactorRow{Totp: 1, UsablePasskeys: 1, Passkeys: 1, RecoveryCodes: 1}
		if kept, err := store.Read().GetSecondFactor(t.Context(), db.GetSecondFactorParams{AccountID: other, RpID: rpID}); err != nil || kept != all {
			t.Errorf("another user has %+v: %v", kept, err)
		}
	})
}

// insert gives an account what it has at the undo.
func (c removal) insert(ctx context.Context, q *db.Queries, id uuid.UUID) error {
	domain := rpID
	if c.foreign {
		domain = "old.example.org"
	}
	errs := []error{q.SetSecondFactorSince(ctx, db.SetSecondFactorSinceParams{Since: c.on, ID: id})}
	if c.totp != nil {
		errs = append(errs, addTOTP(ctx, q, id, before), addTOTP(ctx, q, id, *c.totp))
	}
	if c.begun != nil {
		errs = append(errs, q.BeginTOTP(ctx, db.BeginTOTPParams{AccountID: id, PendingSealed: []byte("sealed"), PendingAt: c.begun}))
	}
	if c.codes != nil {
		errs = append(errs, addCode(ctx, q, id, *c.codes))
	}
	for _, at := range c.passkeys {
		errs = append(errs, addPasskey(ctx, q, id, domain, synced, at))
	}
	return errors.Join(errs...)
}

func (c removal) test(t *testing.T, store *db.Store) {
	id := insertUser(t, store)
	var removed userdata.RemovedFactors
	must(t, store.InTx(t.Context(), func(q *db.Queries) error {
		insertErr := c.insert(t.Context(), q, id)
		account, lockErr := q.LockAccount(t.Context(), id)
		var err error
		removed, err = userdata.RemoveFactorsSince(t.Context(), q, account, rpID, changed)
		return errors.Join(insertErr, lockErr, err)
	}))
	account, err := store.Read().GetAccount(t.Context(), id)
	must(t, err)
	left, err := store.Read().GetSecondFactor(t.Context(), db.GetSecondFactorParams{AccountID: id, RpID: rpID})
	must(t, err)
	if removed != c.want || left != c.left || (account.SecondFactorSince != nil) != c.wantOn {
		t.Errorf("removed %+v, left %+v, on %v", removed, left, account.SecondFactorSince)
	}
	if removed.Any() != (c.want != userdata.RemovedFactors{}) {
		t.Error("Any is wrong")
	}
	setup, err := store.Read().GetTOTP(t.Context(), id)
	if c.left.Totp == 0 && !errors.Is(err, db.ErrNotFound) || c.left.Totp == 1 && (err != nil || setup.PendingAt != nil || setup.PendingSealed != nil) {
		t.Errorf("TOTP: %+v, %v", setup, err)
	}
}

// The deletion of a user deletes every row about them, of every table that has an account_id; those of another user stay.
func TestDeleteDeletesAllRows(t *testing.T) {
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		store, raw := dbtest.Open(t, url), dbtest.Raw(t, url)
		other := insertUser(t, store)
		must(t, store.InTx(t.Context(), func(q *db.Queries) error { return insertFactors(t.Context(), q, other, time.Now()) }))
		id := insertPerson(t, store).ID
		must(t, store.InTx(t.Context(), func(q *db.Queries) error {
			account, err := userdata.Lock(t.Context(), q, id)
			if err != nil {
				return err
			}
			_, err = userdata.Delete(t.Context(), q, account)
			return err
		}))
		want := map[string]int{"account": 1, "totp": 1, "recovery_code": 1, "passkey": 1, "audit_event": 1} // an audit event outlives its user
		for table := range columns(t, raw, url) {
			var rows int
			must(t, raw.QueryRowContext(t.Context(), fmt.Sprintf("SELECT count(*) FROM %s", table)).Scan(&rows))
			if rows != want[table] {
				t.Errorf("%d rows are left in %s, want %d", rows, table, want[table])
			}
		}
	})
}
