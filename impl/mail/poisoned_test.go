package mail

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/db"
)

// Rows that the service never writes fail permanently. They stop neither the worker nor other mails.
func TestPoisonedRows(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		evil := f.account(t, "a@example.org>\r\nRCPT TO:<b@example.org", "en")
		ids := []uuid.UUID{
			f.enqueuePassword(t, evil),
			f.enqueue(t, db.InsertMailParams{AccountID: evil, Kind: KindPassword}),
			f.enqueue(t, db.InsertMailParams{AccountID: evil, Kind: KindSignUpLink}),
		}
		good := f.enqueuePassword(t, f.account(t, "jane@example.org", "xx"))
		for range 4 {
			if !f.deliverNext(t) {
				t.Fatal("a mail is missing")
			}
		}
		for _, id := range ids[1:] {
			if r := f.row(t, id); !r.Dead || r.LastError == "" {
				t.Errorf("%+v", r)
			}
		}
		f.expectRow(t, ids[0], row{Dead: true, Attempts: 1, LastError: "the recipient's address is not a plain e-mail address"})
		f.expectRow(t, good, row{Sent: true, Attempts: 1})
		if len(f.transport.attempts()) != 1 {
			t.Errorf("%d mails were sent", len(f.transport.attempts()))
		}
	})
}

// enqueuePoisoned enqueues seven mails that cannot be sent: six rows that the service never writes, and one that the relay refuses.
func (f *fixture) enqueuePoisoned(t *testing.T) (ids []uuid.UUID) {
	t.Helper()
	huge := strings.Repeat("a", map[string]int{"sqlite": 1 << 20, "postgres": 2500}[f.Store.Engine()]) // what the index allows
	missing := uuid.New()
	add := func(email string, m db.InsertMailParams) {
		m.AccountID = f.account(t, email, "en")
		ids = append(ids, f.enqueue(t, m))
	}
	nonce := []byte("0123456789abcdef")
	add("a@example.org>\r\nRCPT TO:<b@example.org", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	add(huge+"@example.org", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	add("", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	add("no-nonce@example.org", db.InsertMailParams{Kind: KindPassword})
	add("no-link@example.org", db.InsertMailParams{Kind: KindSignUpLink})
	add("missing-link@example.org", db.InsertMailParams{Kind: KindPasswordLink, ConfirmationID: &missing})
	add("refused@example.org", db.InsertMailParams{Kind: KindPassword, Nonce: nonce})
	return ids
}

// enqueueUnknownKind enqueues a mail of a kind that this version does not have, as a newer replica does.
func (f *fixture) enqueueUnknownKind(t *testing.T, email string) uuid.UUID {
	t.Helper()
	return f.enqueue(t, db.InsertMailParams{AccountID: f.account(t, email, "en"), Kind: "of_a_newer_version"})
}

// Seven poisoned rows and one of an unknown kind before a hundred good ones delay none of these. The poisoned ones fail permanently.
func TestPoisonedRowsDelayNoOther(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		const good = 100
		poisoned := f.enqueuePoisoned(t)
		unknown := f.enqueueUnknownKind(t, "kind@example.org")
		f.clock.Advance(time.Second)
		f.enqueueMany(t, good)
		cfg := f.Config
		cfg.Transport = f.relayThatRefuses(t, "refused@example.org")
		stop := runWorker(t, f.newWorker(t, cfg))
		eventually(t, "the good mails are sent and the others are not", func() bool {
			return f.countLogged("mail.sent") >= good && f.countLogged("mail.unknown_kind") > 0 &&
				f.countLogged("mail.dead")+f.countLogged("mail.superseded") >= len(poisoned)
		})
		stop()
		for _, id := range poisoned {
			if r := f.row(t, id); !r.Dead || r.Attempts != 1 || r.LastError == "" || r.Nonce {
				t.Errorf("%+v", r)
			}
		}
		f.expectRow(t, unknown, row{LastError: `unknown kind of mail "of_a_newer_version"`})
		if f.countLogged("mail.sent") != good || f.countLogged("mail.relay_down") != 0 || f.countLogged("mail.retried") != 0 {
			t.Errorf("log: %s", f.log)
		}
	})
}

// During a rolling upgrade, an older replica leaves a mail of a new kind to the newer ones: no attempt is counted, and the delays are short. A
// mail that no replica sends within a day fails permanently, after a limited number of tries.
func TestUnknownKindIsLeftToNewerReplicas(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		id := f.enqueueUnknownKind(t, "jane@example.org")
		waiting := row{LastError: `unknown kind of mail "of_a_newer_version"`}
		if !f.deliverNext(t) || f.deliverNext(t) {
			t.Fatal("not exactly one mail was due")
		}
		f.expectRow(t, id, waiting)
		f.clock.Advance(2 * retryMin)
		if !f.deliverNext(t) {
			t.Fatal("a newer replica would not get it soon")
		}
		f.expectRow(t, id, waiting)
		f.expectCannotRetry(t, id, errKind)
		// A newer replica has the kind. Here, the row gets another kind instead.
		sent := f.enqueueUnknownKind(t, "john@example.org")
		f.deliverNext(t)
		f.setKind(t, sent, KindLoginNotice)
		f.clock.Advance(2 * retryMin)
		for f.deliverNext(t) {
		}
		f.expectRow(t, sent, row{Sent: true, Attempts: 1})

		tries := 0
		for f.Clock.Now().Before(sampleDate.Add(giveUpAfter)) {
			f.clock.Advance(time.Minute)
			if f.deliverNext(t) {
				tries++
			}
		}
		f.clock.Advance(retryMax)
		f.deliverNext(t)
		f.expectRow(t, id, row{Dead: true, Attempts: 1, LastError: waiting.LastError})
		if tries < 20 || tries > 80 {
			t.Errorf("%d tries in a day", tries)
		}
		if f.countLogged("mail.dead") != 1 || f.countLogged("mail.unknown_kind") < tries || f.countLogged("mail.retried") != 0 {
			t.Errorf("log: %s", f.log)
		}
		f.expectCannotRetry(t, id, errKind)
		if len(f.transport.attempts()) != 1 {
			t.Errorf("%d attempts", len(f.transport.attempts()))
		}
	})
}

// setKind changes the kind of a mail, and adds what a login notice needs.
func (f *fixture) setKind(t *testing.T, id uuid.UUID, kind string) {
	t.Helper()
	if _, err := f.raw.ExecContext(t.Context(), `
		UPDATE mail SET kind = $1, happened_at = created_at, platform = '', remote_addr = '' WHERE id = $2`, kind, f.key(id)); err != nil {
		t.Fatal(err)
	}
}

// relayThatRefuses returns the transport of an SMTP relay that does not have one recipient.
func (f *fixture) relayThatRefuses(t *testing.T, recipient string) Transport {
	t.Helper()
	r := &recorder{}
	r.refuse = func(line string) string {
		if line == "RCPT TO:<"+recipient+">" {
			return "550 5.1.1 no such user"
		}
		return ""
	}
	r.start(t)
	transport, err := OpenTransport("smtp://127.0.0.1:"+r.port+"?tls=none", sampleFrom, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}
