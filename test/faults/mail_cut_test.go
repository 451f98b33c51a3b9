package faults

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
	"github.com/financelime/authorization/test/harness/smtprecorder"
	"github.com/financelime/authorization/test/testca"
)

// dots is a request-id that makes lines of the message begin with a dot.
var dots = strings.Repeat(".", 120)

// noInvites lets people sign up without an invite.
const noInvites = "AUTH_INVITE_CODE_REQUIRED=false"

// signUp signs somebody new up, without an invite, and returns their address.
func (w *world) signUp(name string) string {
	w.t.Helper()
	p := newPerson(w)
	p.email = name + "-" + p.email
	r, err := w.s.API.SignupWithResponse(w.t.Context(), &client.SignupParams{RequestID: dots},
		client.SignUpRequest{Email: client.Email(p.email), Language: "en"})
	if err != nil {
		w.t.Fatal(err)
	}
	if r.StatusCode() != 204 {
		w.t.Fatalf("sign-up: %d %s", r.StatusCode(), r.Body)
	}
	return p.email
}

// mailState is how far the one mail to an address is.
func (w *world) mailState(email string) (attempts int, sent, dead bool) {
	w.t.Helper()
	db := w.s.DB(w.t)
	defer db.Close()
	err := db.QueryRowContext(w.t.Context(), `SELECT attempts, sent_at IS NOT NULL, dead_at IS NOT NULL FROM mail
		JOIN account ON account.id = mail.account_id WHERE email = $1`, email).Scan(&attempts, &sent, &dead)
	if err != nil {
		w.t.Fatal(err)
	}
	return attempts, sent, dead
}

// sent waits until the service knows that the one mail to an address was taken over.
func (w *world) sent(email string) {
	w.t.Helper()
	eventually(w.t, "the mail to "+email+" is sent", time.Minute, func() bool {
		_, sent, dead := w.mailState(email)
		if dead {
			w.t.Fatalf("the mail to %s is dead", email)
		}
		return sent
	})
}

// The connection is cut, or falls silent, at each step of the conversation. The mail arrives: once, except when the reply to
// its final dot was lost; then the second is the same mail, which receivers can tell by its Message-ID.
func TestMailCut(t *testing.T) {
	beside(t)
	steps := []smtprecorder.Step{
		smtprecorder.Connect, smtprecorder.Greeting, smtprecorder.EHLO, smtprecorder.MAIL, smtprecorder.RCPT, smtprecorder.DATA,
		smtprecorder.Content, smtprecorder.Dot, smtprecorder.Accepted, smtprecorder.QUIT,
	}
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, step := range steps {
			for _, fault := range []smtprecorder.Action{smtprecorder.Drop, smtprecorder.Reset, smtprecorder.Stall, smtprecorder.Trickle} {
				if !full && (fault == smtprecorder.Reset || fault == smtprecorder.Trickle) {
					continue
				}
				t.Run(fmt.Sprintf("%s at %s", fault, step), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=3s")
					w.mails.SetPlan(smtprecorder.First(step, fault))
					w.s.Run(t)
					email := w.signUp("cut")
					w.sent(email)
					want := 1
					if step == smtprecorder.Dot {
						want = 2
					}
					w.checkWire(email, want)
				})
			}
		}
	})
}

// commandLine is every command that the service may say.
var commandLine = regexp.MustCompile(
	`^(?:(?:EHLO|HELO) financelime\.com|MAIL FROM:<no-reply@financelime\.com>|RCPT TO:<[a-z0-9-]+@example\.com>|DATA|RSET|NOOP|QUIT)\r\n$`)

// checkWire holds what came over the wire for an address against what may come: want copies of one mail, each sent with
// exactly the commands that it takes.
func (w *world) checkWire(email string, want int) {
	w.t.Helper()
	mails := w.mails.To(email)
	if len(mails) != want {
		w.t.Errorf("%d mails to %s, want %d", len(mails), email, want)
	}
	for _, m := range mails {
		if err := m.Err(); err != nil {
			w.t.Error(err)
		}
		if m.ID() != mails[0].ID() || m.Link() != mails[0].Link() || m.Link() == "" {
			w.t.Errorf("the mails differ: %s %s, %s %s", m.ID(), m.Link(), mails[0].ID(), mails[0].Link())
		}
		if !strings.Contains(m.Wire, "\r\n..") {
			w.t.Error("no line began with a dot, so nothing was tried")
		}
		w.checkHeader(m)
		wanted := []string{"MAIL FROM:<no-reply@financelime.com>\r\n", "RCPT TO:<" + email + ">\r\n", "DATA\r\n"}
		if !slices.Equal(m.Commands, wanted) {
			w.t.Errorf("the commands were %q, want %q", m.Commands, wanted)
		}
	}
	for n := range w.mails.Sessions() {
		for _, line := range w.mails.Lines(n + 1) {
			if !commandLine.MatchString(line) {
				w.t.Errorf("the relay was told %q", line)
			}
		}
	}
}

// checkHeader: every field is there, once, and no other.
func (w *world) checkHeader(m *smtprecorder.Message) {
	w.t.Helper()
	header := maps.Clone(m.Header())
	for _, field := range []string{"From", "To", "Subject", "Message-Id", "Date", "Mime-Version", "Content-Type", "Content-Language", "Auto-Submitted"} {
		if len(header[field]) != 1 {
			w.t.Errorf("%d header fields %s", len(header[field]), field)
		}
		delete(header, field)
	}
	if len(header) > 0 {
		w.t.Errorf("unexpected header fields %v", header)
	}
	if domain := "@financelime.com>"; m.ID() != "" && !strings.HasSuffix(m.ID(), domain) {
		w.t.Errorf("the Message-ID %s does not end with %s", m.ID(), domain)
	}
}

// What a relay refuses for good is dead at once and tried no more; what it refuses for now, or refuses us and not the mail, is
// tried again.
func TestMailRefused(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for _, c := range []struct {
			step  smtprecorder.Step
			reply smtprecorder.Action
			dead  bool
		}{
			{smtprecorder.RCPT, "550 5.1.1 no such user", true},
			{smtprecorder.Dot, "554 5.7.1 spam", true},
			{smtprecorder.Greeting, "554 5.3.2 not now", false},
			{smtprecorder.EHLO, "421 4.3.2 going down", false},
			{smtprecorder.MAIL, "550 5.1.8 bad sender", false},
			{smtprecorder.RCPT, "451 4.7.1 greylisted", false},
			{smtprecorder.DATA, "451 4.3.0 later", false},
			{smtprecorder.Dot, "452 4.3.1 full", false},
			{smtprecorder.RCPT, "530 5.7.0 Authentication required", false},
			{smtprecorder.RCPT, "554 5.7.1 Relay access denied", false},
			{smtprecorder.Dot, "550 5.7.26 unauthenticated", false},
			{smtprecorder.Dot, "250", false},
			{smtprecorder.RCPT, "252", false},
			{smtprecorder.Greeting, "220", false},
		} {
			t.Run(fmt.Sprintf("%s %s", c.step, c.reply), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, engine, 0, noInvites)
				w.mails.SetPlan(smtprecorder.First(c.step, c.reply))
				w.s.Run(t)
				email := w.signUp("refused")
				if !c.dead {
					w.sent(email)
					w.checkWire(email, 1)
					return
				}
				eventually(t, "the mail is dead", time.Minute, func() bool {
					_, _, dead := w.mailState(email)
					return dead
				})
				other := w.signUp("other")
				w.sent(other)
				w.checkWire(other, 1)
				if attempts, sent, _ := w.mailState(email); attempts != 1 || sent {
					t.Errorf("%d attempts, sent: %t", attempts, sent)
				}
				w.checkWire(email, 0)
				if !strings.Contains(w.s.Log(), `"mail.dead"`) {
					t.Error("the log does not tell of the dead mail")
				}
			})
		}
	})
}

// Whatever stands in a row of the database, nothing of it becomes a command, a header field or a recipient, and it keeps
// nobody else's mail back.
func TestMailPoisoned(t *testing.T) {
	beside(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		w := newWorld(t, engine, 0, noInvites)
		w.mails.Close()
		w.s.Run(t)
		poison := func(name, update, value string) string {
			email := w.signUp(name)
			w.s.Exec(t, update, strings.ReplaceAll(value, "VICTIM", email), email)
			return email
		}
		const address = "UPDATE account SET email = $1 WHERE email = $2"
		for _, value := range []string{
			"VICTIM>\r\nRCPT TO:<evil@example.com", "VICTIM\r\nBcc: evil@example.com", "VICTIM\nBcc: evil@example.com", "VICTIM,evil@example.com",
			"VICTIM evil@example.com", "\"VICTIM\" <evil@example.com>", "VICTIM> SIZE=1 evil@example.com", "VICTIM\r\n.\r\nMAIL FROM:<evil@example.com>", "",
		} {
			poison("poisoned", address, value)
		}
		harmless := []string{
			poison("language", "UPDATE account SET language = $1 WHERE email = $2", "en\r\nBcc: evil@example.com"),
			poison("request", "UPDATE mail SET request_id = $1 WHERE account_id = (SELECT id FROM account WHERE email = $2)", "....\r\nBcc: evil@example.com"+dots),
			w.signUp("healthy"),
		}
		if err := w.mails.Open(); err != nil {
			t.Fatal(err)
		}
		for _, email := range harmless {
			w.sent(email)
			w.checkWire(email, 1)
		}
		w.settle(time.Minute)
		if n := w.s.Count(t, "SELECT count(*) FROM mail WHERE dead_at IS NOT NULL"); n != 9 {
			t.Errorf("%d dead mails, want 9", n)
		}
		if n := len(w.mails.Messages()); n != len(harmless) {
			t.Errorf("%d mails were sent, want %d", n, len(harmless))
		}
		for n := range w.mails.Sessions() {
			if said := strings.Join(w.mails.Lines(n+1), ""); strings.Contains(said, "evil") {
				t.Errorf("the relay was told %q", said)
			}
		}
	})
}

// Without a relay that proves who it is, under TLS, nothing is sent, and nothing said that matters. When it can, the mail goes out.
func TestMailNeedsTLS(t *testing.T) {
	beside(t)
	ca, other := testca.New(t), testca.New(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for name, relay := range map[string]*smtprecorder.Recorder{
			"STARTTLS stripped":       {},
			"certificate of nobody":   {TLS: other.Server(t, "localhost", time.Hour)},
			"certificate of another":  {TLS: ca.Server(t, "mx.example.org", time.Hour)},
			"certificate of the past": {TLS: ca.Server(t, "localhost", -time.Hour)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				relay.Auth, relay.Password = "PLAIN LOGIN", "s3cret"
				relay.Start(t)
				url := fmt.Sprintf("AUTH_MAIL_URL=smtp://user:s3cret@localhost:%d?ca=%s", relay.Port(), ca.File)
				w := newWorld(t, engine, 0, noInvites, url)
				w.s.Run(t)
				email := w.signUp("tls")
				eventually(t, "a second attempt", time.Minute, func() bool { return relay.Sessions() >= 2 })
				for n := range relay.Sessions() {
					for _, line := range relay.Lines(n + 1) {
						if verb, _, _ := strings.Cut(line, " "); slices.Contains([]string{"AUTH", "MAIL", "RCPT", "DATA\r\n"}, verb) {
							t.Errorf("the relay was told %q", line)
						}
					}
				}
				if len(relay.Messages()) > 0 {
					t.Error("the mail was sent")
				}
				if _, sent, dead := w.mailState(email); sent || dead {
					t.Errorf("the mail is sent: %t, dead: %t", sent, dead)
				}
				if strings.Contains(w.s.Log(), "s3cret") {
					t.Error("the log tells the relay's password")
				}
			})
		}
		t.Run("and with it the mail goes out", func(t *testing.T) {
			t.Parallel()
			relay := &smtprecorder.Recorder{TLS: ca.Server(t, "localhost", time.Hour), Auth: "PLAIN LOGIN", Password: "s3cret"}
			relay.Plan = smtprecorder.First(smtprecorder.STARTTLS, "454 4.7.0 TLS not available")
			relay.Start(t)
			url := fmt.Sprintf("AUTH_MAIL_URL=smtp://user:s3cret@localhost:%d?ca=%s", relay.Port(), ca.File)
			w := newWorld(t, engine, 0, noInvites, url)
			w.s.Run(t)
			email := w.signUp("tls")
			w.sent(email)
			if mails := relay.To(email); len(mails) != 1 || !mails[0].TLS {
				t.Errorf("%d mails, want 1 under TLS", len(mails))
			}
		})
	})
}
