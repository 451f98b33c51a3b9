package cleanup_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/cleanup"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/mail"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/dbtest"
)

const (
	refreshTTL    = 30 * 24 * time.Hour
	sessionMaxAge = 180 * 24 * time.Hour
	day           = 24 * time.Hour
)

// fixture is a Cleaner with a database and a clock that only the test advances.
type fixture struct {
	*cleanup.Cleaner
	t     *testing.T
	clock time.Time
	log   *bytes.Buffer
	raw   *sql.DB
}

func onEachDatabase(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) { test(t, newFixture(t, url)) })
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	store, raw := dbtest.Open(t, url), dbtest.Raw(t, url)
	f := &fixture{t: t, clock: time.Now().UTC().Truncate(time.Microsecond), log: new(bytes.Buffer), raw: raw}
	f.Cleaner = &cleanup.Cleaner{
		Store: store, Log: slog.New(slog.NewTextHandler(f.log, nil)), RefreshTTL: refreshTTL, SessionMaxAge: sessionMaxAge,
		Clock: func() time.Time { return f.clock },
	}
	return f
}

func (f *fixture) write(change func(ctx context.Context, q *db.Queries) error) {
	f.t.Helper()
	if err := f.Store.InTx(f.t.Context(), func(q *db.Queries) error { return change(f.t.Context(), q) }); err != nil {
		f.t.Fatal(err)
	}
}

// idAt returns an ID that was created at a time.
func idAt(t time.Time) uuid.UUID {
	id, random := db.FirstIDAt(t), uuid.New()
	copy(id[6:], random[6:])
	id[6] = 0x70 | id[6]&0x0f
	return id
}

// account creates an account: a confirmed one if until is nil.
func (f *fixture) account(until *time.Time) uuid.UUID {
	f.t.Helper()
	id := idAt(f.clock)
	f.write(func(ctx context.Context, q *db.Queries) error {
		_, err := q.InsertAccount(ctx, db.InsertAccountParams{
			ID: id, Email: id.String() + "@example.org", Language: "en", CreatedAt: f.clock, PendingUntil: until})
		return err
	})
	return id
}

// sessions creates n sessions of an account and returns the last one.
func (f *fixture) sessions(account uuid.UUID, n int) (last uuid.UUID) {
	f.t.Helper()
	f.write(func(ctx context.Context, q *db.Queries) error {
		for range n {
			last = idAt(f.clock)
			if err := q.InsertSession(ctx, db.InsertSessionParams{ID: last, AccountID: account, ClientID: "c", Now: f.clock}); err != nil {
				return err
			}
		}
		return nil
	})
	return last
}

func (f *fixture) confirmation(account uuid.UUID, purpose string, life time.Duration) {
	f.t.Helper()
	f.write(func(ctx context.Context, q *db.Queries) error {
		hash := uuid.New()
		return q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{
			ID: uuid.New(), AccountID: account, Purpose: purpose, KeyHash: hash[:], CreatedAt: f.clock, ExpiresAt: f.clock.Add(life)})
	})
}

func (f *fixture) link(account uuid.UUID, purpose string, life time.Duration) {
	f.t.Helper()
	f.write(func(ctx context.Context, q *db.Queries) error {
		hash := uuid.New()
		return q.UpsertLink(ctx, db.UpsertLinkParams{
			ID: uuid.New(), AccountID: account, Purpose: purpose, KeyHash: hash[:], CreatedAt: f.clock, ExpiresAt: f.clock.Add(life)})
	})
}

func (f *fixture) count(table string) (n int) {
	f.t.Helper()
	if err := f.raw.QueryRowContext(f.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// after advances the clock, runs the cleaner, and expects a number of rows.
func (f *fixture) after(d time.Duration, table string, want int) {
	f.t.Helper()
	f.clock = f.clock.Add(d)
	f.RunOnce(f.t.Context())
	if n := f.count(table); n != want {
		f.t.Errorf("%s: %d rows are left, want %d", table, n, want)
	}
	if strings.Contains(f.log.String(), "cleanup.failed") {
		f.t.Errorf("log: %s", f.log)
	}
}

// Sessions are deleted when they can no longer be refreshed, also if they were refreshed all the time.
func TestDeleteSessions(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, f *fixture) {
		account := f.account(nil)
		f.sessions(account, 1203) // more than two batches
		alive := f.sessions(account, 1)
		refresh := func(generation int64) {
			f.write(func(ctx context.Context, q *db.Queries) error {
				_, err := q.RotateSession(ctx, db.RotateSessionParams{ID: alive, Generation: generation, Now: f.clock})
				return err
			})
		}
		f.after(refreshTTL-time.Hour, "session", 1204)
		refresh(1)
		f.after(time.Hour+30*time.Minute, "session", 1204) // within the margin for clocks
		f.after(time.Hour, "session", 1)
		for generation := int64(2); generation < 9; generation++ { // refreshed regularly, until it is too old
			f.after(20*day, "session", 1)
			refresh(generation)
		}
		f.after(20*day, "session", 0)
		if !strings.Contains(f.log.String(), "what=sessions rows=1203") {
			t.Errorf("log: %s", f.log)
		}
	})
}

func TestDeleteLinks(t *testing.T) {
	onEachDatabase(t, func(_ *testing.T, f *fixture) {
		account := f.account(nil)
		f.link(account, "email", time.Hour)
		f.link(account, "email_undo", 72*time.Hour)
		f.after(90*time.Minute, "link", 2)
		f.after(40*time.Minute, "link", 1)
		f.after(72*time.Hour, "link", 0)
	})
}

// The challenge of a ceremony is kept for longer than any replica accepts the ceremony.
func TestDeleteUsedChallenges(t *testing.T) {
	onEachDatabase(t, func(_ *testing.T, f *fixture) {
		f.write(func(ctx context.Context, q *db.Queries) error {
			for i := range 1203 { // more than two batches
				life := 5 * time.Minute
				if i == 700 {
					life = 3 * time.Hour
				}
				hash := uuid.New()
				if _, err := q.InsertUsedChallenge(ctx, db.InsertUsedChallengeParams{Hash: hash[:], ExpiresAt: f.clock.Add(life)}); err != nil {
					return err
				}
			}
			return nil
		})
		f.after(time.Hour, "used_challenge", 1203)
		f.after(10*time.Minute, "used_challenge", 1)
		f.after(3*time.Hour, "used_challenge", 0)
	})
}

func TestDeleteConfirmations(t *testing.T) {
	onEachDatabase(t, func(_ *testing.T, f *fixture) {
		account := f.account(nil)
		f.confirmation(account, "password", 30*time.Minute)
		f.confirmation(account, "signup", 5*time.Hour)
		f.after(time.Hour, "confirmation", 2)
		f.after(time.Hour, "confirmation", 1)
		f.after(3*time.Hour+59*time.Minute, "confirmation", 1)
		f.after(2*time.Minute, "confirmation", 0)
	})
}

// An expired sign-up is deleted with its link and its mail. A confirmed account stays, and so does a sign-up that has not expired.
func TestDeleteSignUps(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, f *fixture) {
		until, later := f.clock.Add(day), f.clock.Add(3*day)
		f.account(nil)
		f.account(&later)
		for range 3 {
			expiring := f.account(&until)
			f.confirmation(expiring, "signup", day)
			f.write(func(ctx context.Context, q *db.Queries) error {
				return q.InsertMail(ctx, db.InsertMailParams{ID: idAt(f.clock), AccountID: expiring, Kind: mail.KindSignUpLink, RequestID: "request-1", Now: f.clock})
			})
		}
		f.after(day+30*time.Minute, "account", 5)
		f.after(time.Hour, "account", 2)
		if links, mails := f.count("confirmation"), f.count("mail"); links != 0 || mails != 0 {
			t.Errorf("%d links and %d mails are left", links, mails)
		}
		f.after(3*day, "account", 1)
	})
}

// close closes an account as its owner does.
func (f *fixture) close(id uuid.UUID, until time.Time) {
	f.t.Helper()
	f.write(func(ctx context.Context, q *db.Queries) error {
		if n, err := q.CloseAccount(ctx, db.CloseAccountParams{Now: &f.clock, ClosingUntil: &until, ID: id}); n != 1 || err != nil {
			return fmt.Errorf("%d accounts are closed: %w", n, err)
		}
		return nil
	})
}

// A closing account is deleted after its grace and the margin for clocks, with all that belongs to it. Accounts that were restored, enabled
// or disabled by an operator meanwhile stay.
func TestDeleteClosedAccounts(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, f *fixture) {
		until := f.clock.Add(7 * day)
		invite := uuid.New()
		f.write(func(ctx context.Context, q *db.Queries) error {
			if _, err := q.InsertInvite(ctx, db.InsertInviteParams{ID: invite, CodeHash: invite[:], MaxUses: 5, ExpiresAt: until}); err != nil {
				return err
			}
			_, err := q.ConsumeInvite(ctx, invite)
			return err
		})
		invited := idAt(f.clock)
		decoyUntil := f.clock.Add(30 * day)
		f.write(func(ctx context.Context, q *db.Queries) error {
			if _, err := q.InsertAccount(ctx, db.InsertAccountParams{ID: invited, Email: "jane@example.org", InviteID: &invite, CreatedAt: f.clock}); err != nil {
				return err
			}
			decoy := uuid.New()
			_, err := q.InsertAccount(ctx, db.InsertAccountParams{
				ID: decoy, Email: decoy.String(), CreatedAt: f.clock, PendingUntil: &decoyUntil, DecoyOf: &invited,
			})
			return err
		})
		f.close(invited, until)
		f.link(invited, "deletion_undo", 7*day)
		for range db.BatchRows + 2 { // more than a batch
			f.close(f.account(nil), until)
		}
		restored, enabled, disabled, later := f.account(nil), f.account(nil), f.account(nil), f.account(nil)
		for _, id := range []uuid.UUID{restored, enabled, disabled} {
			f.close(id, until)
		}
		f.close(later, until.Add(day))
		f.write(func(ctx context.Context, q *db.Queries) error {
			_, restoreErr := q.RestoreAccount(ctx, restored)
			_, disableErr := q.DisableAccount(ctx, db.DisableAccountParams{Now: &f.clock, ID: disabled})
			return errors.Join(restoreErr, disableErr)
		})
		// The version before enables an account without clearing closing_until.
		if _, err := f.raw.ExecContext(t.Context(), "UPDATE account SET disabled_at = NULL WHERE email = $1", enabled.String()+"@example.org"); err != nil {
			t.Fatal(err)
		}
		all := f.count("account")
		f.after(7*day+55*time.Minute, "account", all)
		f.after(10*time.Minute, "account", 4)
		if log := f.log.String(); strings.Count(log, "msg=user.deleted") != db.BatchRows+3 || !strings.Contains(log, "account_id="+invited.String()) {
			t.Errorf("%d users are logged as deleted", strings.Count(log, "msg=user.deleted"))
		}
		if links := f.count("link"); links != 0 {
			t.Errorf("%d links are left", links)
		}
		if uses := f.count("invite WHERE uses = 0"); uses != 1 {
			t.Error("the use of the invite was not released")
		}
		f.after(day, "account", 3)
		f.after(30*day, "account", 3)
	})
}

// A replica that lists a closed account does not delete it if its owner or an operator was faster.
func TestRestoreBesideCleaner(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, f *fixture) {
		f.clock = f.clock.Add(-8 * day)
		for range 100 {
			id := f.account(nil)
			f.close(id, f.clock.Add(day))
			cleaner := *f.Cleaner
			cleaner.Log, cleaner.Clock = slog.New(slog.DiscardHandler), func() time.Time { return f.clock.Add(2 * day) }
			var restored int64
			var all sync.WaitGroup
			all.Go(func() { cleaner.RunOnce(t.Context()) })
			f.write(func(ctx context.Context, q *db.Queries) (err error) {
				restored, err = q.RestoreAccount(ctx, id)
				return err
			})
			all.Wait()
			if left := f.count("account"); int64(left) != restored {
				t.Fatalf("%d accounts are left, %d were restored", left, restored)
			}
			f.write(func(ctx context.Context, q *db.Queries) error {
				_, err := q.DeleteAccount(ctx, id)
				return err
			})
		}
	})
}

// A TOTP secret that was not confirmed within a day is deleted. Confirmed ones stay, and so does one that was begun anew.
func TestDeleteBegunTOTP(t *testing.T) {
	onEachDatabase(t, func(_ *testing.T, f *fixture) {
		begin := func(id uuid.UUID) {
			f.write(func(ctx context.Context, q *db.Queries) error {
				return q.BeginTOTP(ctx, db.BeginTOTPParams{AccountID: id, PendingSealed: []byte("sealed"), PendingAt: &f.clock})
			})
		}
		confirmed, replacing, anew := f.account(nil), f.account(nil), f.account(nil)
		for range db.BatchRows + 2 { // more than a batch
			begin(f.account(nil))
		}
		for _, id := range []uuid.UUID{confirmed, replacing} {
			begin(id)
			f.write(func(ctx context.Context, q *db.Queries) error {
				n, err := q.ConfirmTOTP(ctx, db.ConfirmTOTPParams{AccountID: id, Now: &f.clock})
				if err == nil && n != 1 {
					err = errors.New("not confirmed")
				}
				return err
			})
		}
		begin(replacing)
		begin(anew)
		all, pending := f.count("totp"), "totp WHERE pending_sealed IS NOT NULL AND pending_at IS NOT NULL"
		f.after(day+30*time.Minute, "totp", all) // within the margin for clocks
		f.after(0, pending, all-1)
		begin(anew)
		f.after(time.Hour, "totp", 3)
		f.after(0, pending, 1)
		f.after(2*day, "totp WHERE sealed IS NOT NULL", 2)
		f.after(0, "totp", 2)
	})
}

func TestDeleteDevicesLimitsAndMails(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, f *fixture) {
		account := f.account(nil)
		root, err := secret.Generate()
		if err != nil {
			t.Fatal(err)
		}
		limits := limit.New(root, map[limit.Name]limit.Rate{limit.MailAddress: {Count: 1, Per: time.Hour}})
		f.write(func(ctx context.Context, q *db.Queries) error {
			return limits.Take(ctx, q, f.clock, limits.Quota(limit.MailAddress, "jane@example.org"))
		})
		use := func(fingerprint string) {
			f.write(func(ctx context.Context, q *db.Queries) error {
				return q.InsertDevice(ctx, db.InsertDeviceParams{ID: idAt(f.clock), AccountID: account, Fingerprint: []byte(fingerprint), Now: f.clock})
			})
		}
		dead := idAt(f.clock)
		f.write(func(ctx context.Context, q *db.Queries) error {
			err := q.InsertMail(ctx, db.InsertMailParams{ID: dead, AccountID: account, Kind: mail.KindPassword, RequestID: "request-1", Now: f.clock})
			if err != nil {
				return err
			}
			m, err := q.LeaseMail(ctx, db.LeaseMailParams{ID: dead, Now: f.clock, LeaseUntil: f.clock})
			if err != nil {
				return err
			}
			_, err = q.MarkMailDead(ctx, db.MarkMailDeadParams{Now: &f.clock, ID: dead, Attempts: 1, LeaseUntil: m.DueAt})
			return err
		})
		use("phone")
		use("laptop")
		f.after(90*time.Minute, "rate_limit", 1)
		f.after(time.Hour, "rate_limit", 0)
		f.after(29*day, "mail", 1)
		f.after(2*day, "mail", 0)
		use("phone") // again
		f.after(148*day, "device", 2)
		f.after(2*day, "device", 1)
		f.after(29*day, "device", 1)
		f.after(2*day, "device", 0)
	})
}

// Replicas that clean up at the same time disturb neither each other nor refreshes.
func TestReplicasCleanUpTogether(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, f *fixture) {
		account := f.account(nil)
		f.sessions(account, 2101)
		f.clock = f.clock.Add(refreshTTL + 2*time.Hour)
		alive := f.sessions(account, 1)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				cleaner := *f.Cleaner
				cleaner.Log = slog.New(slog.DiscardHandler)
				cleaner.RunOnce(t.Context())
			})
		}
		for generation := range int64(50) {
			f.write(func(ctx context.Context, q *db.Queries) error {
				_, err := q.RotateSession(ctx, db.RotateSessionParams{ID: alive, Generation: generation + 1, Now: f.clock})
				return err
			})
		}
		all.Wait()
		if n := f.count("session"); n != 1 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// A failing job is logged and does not prevent the other jobs.
func TestRunOnceLogsFailures(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, f *fixture) {
		account := f.account(nil)
		f.sessions(account, 1)
		if _, err := f.raw.ExecContext(t.Context(), "ALTER TABLE session RENAME TO hidden"); err != nil {
			t.Fatal(err)
		}
		f.confirmation(account, "password", time.Hour)
		f.clock = f.clock.Add(3 * time.Hour)
		f.RunOnce(t.Context())
		if log := f.log.String(); strings.Count(log, "cleanup.failed") != 1 || !strings.Contains(log, "what=confirmations rows=1") {
			t.Errorf("log: %s", log)
		}
	})
}

// Run cleans up after a minute, then every hour.
func TestRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.db")
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, "sqlite:"+path)
		f.Clock = nil
		account := f.account(nil)
		f.confirmation(account, "password", time.Second)
		f.confirmation(account, "signup", 30*time.Minute)
		time.Sleep(2 * time.Hour)
		f.clock = time.Now()
		f.confirmation(account, "signup", time.Second)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Run(ctx)
		}()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := f.count("confirmation"); n != 1 {
			t.Errorf("%d links are left after the first run", n)
		}
		time.Sleep(66*time.Minute + 66*time.Minute)
		synctest.Wait()
		if n := f.count("confirmation"); n != 0 {
			t.Errorf("%d links are left after the next runs", n)
		}
		stop()
		<-done
	})
}

// A panic in one job ends neither the other jobs nor the process.
func TestPanicIsAFailureOfOneJob(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cleaner := cleanup.Cleaner{Log: slog.New(slog.NewTextHandler(&log, nil))} // without a store, every job panics
	cleaner.RunOnce(t.Context())
	if n := strings.Count(log.String(), "cleanup.failed"); n != 10 || strings.Count(log.String(), "\n") != n {
		t.Errorf("%d of 10 jobs are logged as failed: %s", n, log.String())
	}
}
