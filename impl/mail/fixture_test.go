package mail

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/fakeclock"
	"github.com/financelime/authorization/test/postgres"
)

const (
	testTimeout   = 30 * time.Second
	testPublicURL = "https://auth.example.org"
)

// onBothEngines runs a test on SQLite and on PostgreSQL, each with a fixture of its own.
func onBothEngines(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "auth.db")
		test(t, newFixture(t, "sqlite:"+path, "sqlite", path))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := postgres.URL(t)
		test(t, newFixture(t, url, "pgx", url))
	})
}

// fixture is a worker on a real database, with a transport and a clock that do as they are told.
type fixture struct {
	*Worker
	clock *fakeclock.Clock
	out   *outbox
	log   *syncBuffer
	url   string  // of the database
	raw   *sql.DB // to see what no query of the service shows
}

func newFixture(t *testing.T, url, driver, source string) *fixture {
	t.Helper()
	store, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clock: fakeclock.New(sampleDate), out: new(outbox), log: new(syncBuffer), url: url, raw: raw}
	f.Worker = f.worker(t, Config{
		Store: store, Transport: f.out, Hasher: password.NewHasher(password.Options{Params: password.Params{Memory: 64, Time: 1, Threads: 1}}),
		Root: root, Links: link.New(root), Log: slog.New(slog.NewTextHandler(f.log, nil)), Clock: f.clock.Now,
		PublicURL: testPublicURL, From: sampleFrom, Timeout: testTimeout, MailedPasswordTTL: 24 * time.Hour,
	})
	return f
}

// worker makes another worker, as in another process.
func (f *fixture) worker(t *testing.T, cfg Config) *Worker {
	t.Helper()
	w, err := NewWorker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// outbox is a transport that keeps what it takes.
type outbox struct {
	mu    sync.Mutex
	tried []Envelope
	taken []Envelope
	fail  func(ctx context.Context, env Envelope) error // if not nil, decides
}

func (o *outbox) Send(ctx context.Context, env Envelope) error {
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

func (o *outbox) failWith(fail func(context.Context, Envelope) error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = fail
}

func (o *outbox) sent() []Envelope {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Envelope(nil), o.taken...)
}

func (o *outbox) attempts() []Envelope {
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

// account makes an account.
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

// queueLink makes a confirmation and owes its mail, as a sign-up and a password reset do.
func (f *fixture) queueLink(t *testing.T, account uuid.UUID, purpose string, ttl time.Duration) (mailID, confirmationID uuid.UUID) {
	t.Helper()
	confirmationID = uuid.New()
	hash, _ := link.Hash(f.Links.Key(confirmationID))
	f.write(t, func(ctx context.Context, q *db.Queries) error {
		return q.UpsertConfirmation(ctx, db.UpsertConfirmationParams{
			ID: confirmationID, AccountID: account, Purpose: purpose, KeyHash: hash, CreatedAt: f.Clock.Now(), ExpiresAt: f.Clock.Now().Add(ttl)})
	})
	kind := map[string]string{"signup": KindSignUpLink, "password": KindPasswordLink}[purpose]
	mailID = f.queue(t, db.InsertMailParams{AccountID: account, Kind: kind, ConfirmationID: &confirmationID})
	return mailID, confirmationID
}

// queuePassword owes a password, as a click on a link does.
func (f *fixture) queuePassword(t *testing.T, account uuid.UUID) uuid.UUID {
	t.Helper()
	f.write(t, func(ctx context.Context, q *db.Queries) error { return q.DeleteOlderPasswordMails(ctx, account) })
	return f.queue(t, db.InsertMailParams{AccountID: account, Kind: KindPassword, Nonce: password.NewNonce(f.Root)})
}

func (f *fixture) queue(t *testing.T, m db.InsertMailParams) uuid.UUID {
	t.Helper()
	m.RequestID, m.Now = "request-0001", f.Clock.Now()
	var id uuid.UUID
	f.write(t, func(ctx context.Context, q *db.Queries) (err error) {
		if m.Kind == KindPassword {
			if m.PasswordNumber, err = q.NextPasswordNumber(ctx, m.AccountID); err != nil {
				return err
			}
		}
		id, err = Queue(ctx, q, m)
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

// step delivers one mail that is due, and is false when there is none.
func (f *fixture) step(t *testing.T) bool {
	t.Helper()
	m, err := f.leaseAny(t.Context())
	if errors.Is(err, db.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	f.deliver(t.Context(), t.Context(), m)
	return true
}

// leaseAny takes the mail that has been due for longest.
func (w *Worker) leaseAny(ctx context.Context) (leased, error) {
	id, err := (&dispatcher{Worker: w, mine: make(map[uuid.UUID]bool)}).next(ctx)
	if err != nil {
		return leased{}, err
	}
	return w.lease(ctx, id)
}

// row is what the database knows of a mail.
type row struct {
	Sent, Dead, Nonce bool
	Attempts          int64
	LastError         string
}

func (f *fixture) row(t *testing.T, id uuid.UUID) row {
	t.Helper()
	var key any = id.String()
	if f.Store.Engine() == "sqlite" {
		key = id[:]
	}
	var r row
	err := f.raw.QueryRowContext(t.Context(), `
		SELECT sent_at IS NOT NULL, dead_at IS NOT NULL, nonce IS NOT NULL, attempts, COALESCE(last_error, '')
		FROM mail WHERE id = $1`, key).Scan(&r.Sent, &r.Dead, &r.Nonce, &r.Attempts, &r.LastError)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (f *fixture) expect(t *testing.T, id uuid.UUID, want row) {
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

// opens tells whether somebody can log in with a password, without doing so.
func (f *fixture) opens(t *testing.T, account uuid.UUID, word string) bool {
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

// logged counts the lines of an event.
func (f *fixture) logged(event string) int {
	return strings.Count(f.log.String(), " msg="+event+" ")
}

// secretOf finds the line of a mail's text that stands alone and has that in it.
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
