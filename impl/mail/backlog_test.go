package mail

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/test/testca"
)

// isFullRun reports whether tests run with their full number of mails, as in `make faults`.
func isFullRun() bool { return os.Getenv("FINANCELIME_FULL") == "1" }

// fullCount returns reduced, or full in a full run.
func fullCount(reduced, full int) int {
	if isFullRun() {
		return full
	}
	return reduced
}

// enqueueMany enqueues confirmation links for n accounts, a millisecond apart, and returns the IDs of the mails.
func (f *fixture) enqueueMany(t *testing.T, n int) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, n)
	for begin := 0; begin < n; begin += 500 {
		f.write(t, func(ctx context.Context, q *db.Queries) error {
			for i := begin; i < min(begin+500, n); i++ {
				account, confirmation := uuid.Must(uuid.NewV7()), uuid.New()
				ids[i] = uuid.Must(uuid.NewV7())
				now := f.Clock.Now().Add(time.Duration(i-n) * time.Millisecond)
				end := now.Add(24 * time.Hour)
				if _, err := q.InsertAccount(ctx, db.InsertAccountParams{
					ID: account, Email: fmt.Sprintf("p%d@example.org", i), Language: "en", CreatedAt: now, PendingUntil: &end,
				}); err != nil {
					return err
				}
				hash, _ := link.Hash(f.Links.Key(confirmation))
				if err := q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{
					ID: confirmation, AccountID: account, Purpose: "signup", KeyHash: hash, CreatedAt: now, ExpiresAt: end,
				}); err != nil {
					return err
				}
				if err := q.InsertMail(ctx, db.InsertMailParams{
					ID: ids[i], AccountID: account, Kind: KindSignUpLink, ConfirmationID: &confirmation, RequestID: "request-0001", Now: now, DueAt: dueImmediately(now),
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return ids
}

// rowsSent counts the mails that are recorded as sent.
func (f *fixture) rowsSent(t *testing.T) (n int) {
	t.Helper()
	if err := f.raw.QueryRowContext(t.Context(), "SELECT count(*) FROM mail WHERE sent_at IS NOT NULL").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The backlog of a ten-minute outage at 50 mails a second is sent over SMTP in less than two minutes.
func TestBacklogDrains(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		n := fullCount(1000, 30_000)
		ca := testca.New(t)
		r := (&recorder{tls: ca.Server(t, "localhost", time.Hour), auth: "PLAIN", password: "secret"}).start(t)
		for name, url := range map[string]string{
			"under TLS": "smtp://user:secret@localhost:" + r.port + "?ca=" + ca.File,
		} {
			cfg := f.Config
			transport, err := OpenTransport(url, sampleFrom, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Transport = transport
			w := f.newWorker(t, cfg)
			f.enqueueMany(t, n)
			start := time.Now()
			stop := runWorker(t, w)
			within(t, 5*time.Minute, "the backlog is sent", func() bool { return r.accepted() >= n })
			took := time.Since(start)
			stop()
			t.Logf("%s, %s: %d mails in %s, %.0f a second", f.Store.Engine(), name, n, took.Round(time.Millisecond), float64(n)/took.Seconds())
			if isFullRun() && took > 2*time.Minute {
				t.Error("too slow")
			}
			_, mails := r.recorded()
			seen := map[string]bool{}
			for _, m := range mails {
				_, id, _ := strings.Cut(m, "Message-Id: ")
				id, _, _ = strings.Cut(id, "\r\n")
				if seen[id] {
					t.Errorf("%s came twice", id)
				}
				seen[id] = true
			}
		}
	})
}

// Three processes share an outbox: each mail is sent once, as fast as by one process.
func TestProcessesShareOutbox(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		mails := fullCount(3000, 10_000)
		f.enqueueMany(t, mails)
		start := time.Now()
		var stops []func()
		for range 3 {
			store, err := db.Open(t.Context(), f.url)
			if err != nil {
				t.Fatal(err)
			}
			cfg := f.Config
			cfg.Store = store
			stop := runWorker(t, f.newWorker(t, cfg))
			stops = append(stops, func() {
				stop()
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		within(t, 5*time.Minute, "all mails are sent", func() bool { return f.rowsSent(t) >= mails })
		took := time.Since(start)
		for _, stop := range stops {
			stop()
		}
		t.Logf("%s: %d mails in %s, %.0f a second", f.Store.Engine(), mails, took.Round(time.Millisecond), float64(mails)/took.Seconds())
		seen := map[uuid.UUID]bool{}
		for _, env := range f.transport.attempts() {
			if seen[env.ID] {
				t.Errorf("%s was sent twice", env.ID)
			}
			seen[env.ID] = true
		}
		if len(seen) != mails || f.countLogged("mail.lease_lost") != 0 {
			t.Errorf("%d mails were sent, not %d", len(seen), mails)
		}
		var unsent int
		if err := f.raw.QueryRowContext(t.Context(), "SELECT count(*) FROM mail WHERE sent_at IS NULL OR attempts <> 1").Scan(&unsent); err != nil || unsent != 0 {
			t.Errorf("%d rows are not those of a mail that was sent at the first attempt, %v", unsent, err)
		}
	})
}
