package mail

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/dbtest"
	"github.com/financelime/authorization/test/fakeclock"
)

const (
	testTimeout   = 30 * time.Second
	testPublicURL = "https://auth.example.org"
)

// onBothEngines runs a test on SQLite and on PostgreSQL, each with its own fixture.
func onBothEngines(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) { test(t, newFixture(t, url)) })
}

// fixture is a worker on a real database, with a fake transport and a fake clock.
type fixture struct {
	*Worker
	clock     *fakeclock.Clock
	transport *fakeTransport
	log       *syncBuffer
	url       string  // of the database
	raw       *sql.DB // for SQL that the service does not have
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	store, raw := dbtest.Open(t, url), dbtest.Raw(t, url)
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clock: fakeclock.New(sampleDate), transport: new(fakeTransport), log: new(syncBuffer), url: url, raw: raw}
	f.Worker = f.newWorker(t, Config{
		Store: store, Transport: f.transport, Hasher: password.NewHasher(password.Options{Params: password.Params{Memory: 64, Time: 1, Threads: 1}}),
		Root: root, Links: link.New(root), Log: slog.New(slog.NewTextHandler(f.log, nil)), Clock: f.clock.Now,
		PublicURL: testPublicURL, From: sampleFrom, Timeout: testTimeout, MailedPasswordTTL: 24 * time.Hour,
	})
	return f
}

// newWorker returns another worker, as in another process.
func (f *fixture) newWorker(t *testing.T, cfg Config) *Worker {
	t.Helper()
	w, err := NewWorker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// fakeTransport is a transport that records envelopes and fails as the test wants.
type fakeTransport struct {
	mu    sync.Mutex
	tried []Envelope
	taken []Envelope
	fail  func(ctx context.Context, env Envelope) error // if not nil, decides
}

func (o *fakeTransport) Send(ctx context.Context, env Envelope) error {
	o.mu.Lock()
	o.tried = append(o.tried, env)
	fail := o.fail
	o.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, env); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken = append(o.taken, env)
	return nil
}

func (o *fakeTransport) failWith(fail func(context.Context, Envelope) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = fail
}

func (o *fakeTransport) sent() []Envelope {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Envelope(nil), o.taken...)
}

func (o *fakeTransport) attempts() []Envelope {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Envelope(nil), o.tried...)
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// account inserts an account.
func (f *fixture) account(t *testing.T, email, language string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	until := f.Clock.Now().Add(24 * time.Hour)
	f.write(t, func(ctx context.Context, q *db.Queries) error {
		_, err := q.InsertAccount(ctx, db.InsertAccountParams{
			ID: id, Email: email, Language: language, CreatedAt: f.Clock.Now(), PendingUntil: &until})
		return err
	})
	return id
}

// enqueueLink inserts a confirmation and enqueues its mail, as a sign-up and a password reset do.
func (f *fixture) enqueueLink(t *testing.T, account uuid.UUID, purpose string, ttl time.Duration) (mailID, confirmationID uuid.UUID) {
	t.Helper()
	confirmationID = uuid.New()
	hash, _ := link.Hash(f.Links.Key(confirmationID))
	f.write(t, func(ctx context.Context, q *db.Queries) error {
		return q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{
			ID: confirmationID, AccountID: account, Purpose: purpose, KeyHash: hash, CreatedAt: f.Clock.Now(), ExpiresAt: f.Clock.Now().Add(ttl)})
	})
	kind := map[string]string{"signup": KindSignUpLink, "password": KindPasswordLink}[purpose]
	mailID = f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: kind, ConfirmationID: &confirmationID})
	return mailID, confirmationID
}

// enqueuePassword enqueues a mail with a password, as the confirmation of a link does.
func (f *fixture) enqueuePassword(t *testing.T, account uuid.UUID) uuid.UUID {
	t.Helper()
	f.write(t, func(ctx context.Context, q *db.Queries) error { return q.DeleteOlderPasswordMails(ctx, account) })
	return f.enqueue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword, Nonce: password.NewNonce(f.Root)})
}

func (f *fixture) enqueue(t *testing.T, m db.InsertMailParams) uuid.UUID {
	t.Helper()
	m.RequestID, m.Now = "request-0001", f.Clock.Now()
	var id uuid.UUID
	f.write(t, func(ctx context.Context, q *db.Queries) (err error) {
		if m.Kind == KindPassword {
			if m.PasswordNumber, err = q.NextPasswordNumber(ctx, m.AccountID); err != nil {
				return err
			}
		}
		id, err = Enqueue(ctx, q, m)
		return err
	})
	return id
}

func (f *fixture) write(t *testing.T, change func(context.Context, *db.Queries) error) {
	t.Helper()
	if err := f.Store.InTx(t.Context(), func(q *db.Queries) error { return change(t.Context(), q) }); err != nil {
		t.Fatal(err)
	}
}

// deliverNext delivers the mail that has been due longest. It reports false if no mail is due.
func (f *fixture) deliverNext(t *testing.T) bool {
	t.Helper()
	m, err := f.leaseNext(t.Context())
	if errors.Is(err, db.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	f.deliver(t.Context(), t.Context(), m)
	return true
}

// leaseNext leases the mail that has been due longest.
func (w *Worker) leaseNext(ctx context.Context) (leased, error) {
	id, err := (&dispatcher{Worker: w, inProgress: make(map[uuid.UUID]bool)}).next(ctx)
	if err != nil {
		return leased{}, err
	}
	return w.lease(ctx, id)
}

// row is the state of a mail in the database.
type row struct {
	Sent, Dead, Nonce bool
	Attempts          int64
	LastError         string
}

func (f *fixture) row(t *testing.T, id uuid.UUID) row {
	t.Helper()
	var r row
	err := f.raw.QueryRowContext(t.Context(), `
		SELECT sent_at IS NOT NULL, dead_at IS NOT NULL, nonce IS NOT NULL, attempts, COALESCE(last_error, '')
		FROM mail WHERE id = $1`, f.key(id)).Scan(&r.Sent, &r.Dead, &r.Nonce, &r.Attempts, &r.LastError)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// key returns an ID as an argument of raw SQL.
func (f *fixture) key(id uuid.UUID) any {
	if f.Store.Engine() == "sqlite" {
		return id[:]
	}
	return id.String()
}

func (f *fixture) expectRow(t *testing.T, id uuid.UUID, want row) {
	t.Helper()
	if got := f.row(t, id); got != want {
		t.Errorf("the row is %+v, want %+v", got, want)
	}
}

func (f *fixture) readAccount(t *testing.T, id uuid.UUID) db.Account {
	t.Helper()
	account, err := f.Store.Read().GetAccount(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

// passwordWorks reports whether a login with a pending password would succeed.
func (f *fixture) passwordWorks(t *testing.T, account uuid.UUID, word string) bool {
	t.Helper()
	a := f.readAccount(t, account)
	if a.PendingPasswordHash == nil || !a.PendingPasswordExpiresAt.After(f.Clock.Now()) {
		return false
	}
	i, err := f.Hasher.Match(t.Context(), word, *a.PendingPasswordHash)
	if err != nil {
		t.Fatal(err)
	}
	return i == 0
}

// countLogged counts the log lines of an event.
func (f *fixture) countLogged(event string) int {
	return strings.Count(f.log.String(), " msg="+event+" ")
}

// secretOf returns the paragraph of a mail's text that is a single word and contains part.
func secretOf(t *testing.T, env Envelope, part string) string {
	t.Helper()
	text := parse(t, env.Data).parts["text/plain; charset=UTF-8"]
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if !strings.ContainsAny(paragraph, " \n") && strings.Contains(paragraph, part) {
			return paragraph
		}
	}
	t.Fatalf("no %q in\n%s", part, text)
	return ""
}

// runWorker calls Run in a goroutine. The returned function stops it and waits until it ends.
func runWorker(t *testing.T, w *Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits up to a minute until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, time.Minute, what, ok)
}

func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(5 * time.Millisecond) // between two checks
	}
}

// withFakeTime runs a test on both engines in a synctest bubble, whose fake time advances when all goroutines wait. The worker uses that time.
func withFakeTime(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	dbtest.EachEngine(t, func(t *testing.T, url string) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, url)
			f.Worker = f.newWorker(t, f.withRealClock())
			test(t, f)
		})
	})
}

func (f *fixture) withRealClock() Config {
	cfg := f.Config
	cfg.Clock = time.Now
	return cfg
}

// unreachable is a relay that cannot be reached.
func unreachable(context.Context, Envelope) error {
	return &RelayError{Err: errors.New("connect to the mail relay: connection refused")}
}
