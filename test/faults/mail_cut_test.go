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

// dottedRequestID makes lines of the message begin with a dot.
var dottedRequestID = strings.Repeat(".", 120)

// noInvites allows sign-ups without an invite.
const noInvites = "AUTH_INVITE_CODE_REQUIRED=false"

// signUp signs a new user up, without an invite, and returns the address.
func (sim *simulation) signUp(name string) string {
	sim.t.Helper()
	p := newPerson(sim)
	p.email = name + "-" + p.email
	r, err := sim.s.API.SignupWithResponse(sim.t.Context(), &client.SignupParams{RequestID: dottedRequestID},
		client.SignUpRequest{Email: p.email, Language: "en"})
	if err != nil {
		sim.t.Fatal(err)
	}
	if r.StatusCode() != 204 {
		sim.t.Fatalf("sign-up: %d %s", r.StatusCode(), r.Body)
	}
	return p.email
}

// mailState returns the state of the only mail to an address.
func (sim *simulation) mailState(email string) (attempts int, sent, dead bool) {
	sim.t.Helper()
	db := sim.s.DB(sim.t)
	defer db.Close()
	err := db.QueryRowContext(sim.t.Context(), `SELECT attempts, sent_at IS NOT NULL, dead_at IS NOT NULL FROM mail
		JOIN account ON account.id = mail.account_id WHERE email = $1`, email).Scan(&attempts, &sent, &dead)
	if err != nil {
		sim.t.Fatal(err)
	}
	return attempts, sent, dead
}

// waitSent waits until the service has recorded the only mail to an address as sent.
func (sim *simulation) waitSent(email string) {
	sim.t.Helper()
	eventually(sim.t, "the mail to "+email+" is sent", time.Minute, func() bool {
		_, sent, dead := sim.mailState(email)
		if dead {
			sim.t.Fatalf("the mail to %s has failed permanently", email)
		}
		return sent
	})
}

// TestMailConnectionLost cuts or stalls the connection at each step of the SMTP session. The mail arrives once, except when the reply to
// the final dot was lost. Then it arrives twice with the same Message-ID, so that the receiver can drop the duplicate.
func TestMailConnectionLost(t *testing.T) {
	parallel(t)
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
					sim := newSimulation(t, engine, 0, noInvites, "AUTH_MAIL_TIMEOUT=3s")
					sim.mails.SetPlan(smtprecorder.First(step, fault))
					sim.s.Run(t)
					email := sim.signUp("cut")
					sim.waitSent(email)
					want := 1
					if step == smtprecorder.Dot {
						want = 2
					}
					sim.checkSMTP(email, want)
				})
			}
		}
	})
}

// commandLine matches every command that the service may send.
var commandLine = regexp.MustCompile(
	`^(?:(?:EHLO|HELO) financelime\.com|MAIL FROM:<no-reply@financelime\.com>|RCPT TO:<[a-z0-9-]+@example\.com>|DATA|RSET|NOOP|QUIT)\r\n$`)

// checkSMTP checks the SMTP sessions for an address: want copies of one mail, each sent with exactly the necessary commands.
func (sim *simulation) checkSMTP(email string, want int) {
	sim.t.Helper()
	mails := sim.mails.To(email)
	if len(mails) != want {
		sim.t.Errorf("%d mails to %s, want %d", len(mails), email, want)
	}
	for _, m := range mails {
		if err := m.Err(); err != nil {
			sim.t.Error(err)
		}
		if m.ID() != mails[0].ID() || m.Link() != mails[0].Link() || m.Link() == "" {
			sim.t.Errorf("the mails differ: %s %s, %s %s", m.ID(), m.Link(), mails[0].ID(), mails[0].Link())
		}
		if !strings.Contains(m.Wire, "\r\n..") {
			sim.t.Error("no line begins with a dot, so the test is useless")
		}
		sim.checkHeader(m)
		wanted := []string{"MAIL FROM:<no-reply@financelime.com>\r\n", "RCPT TO:<" + email + ">\r\n", "DATA\r\n"}
		if !slices.Equal(m.Commands, wanted) {
			sim.t.Errorf("the commands were %q, want %q", m.Commands, wanted)
		}
	}
	for n := range sim.mails.Sessions() {
		for _, line := range sim.mails.Lines(n + 1) {
			if !commandLine.MatchString(line) {
				sim.t.Errorf("the relay received %q", line)
			}
		}
	}
}

// checkHeader checks that the header has each field once, and no other fields.
func (sim *simulation) checkHeader(m *smtprecorder.Message) {
	sim.t.Helper()
	header := maps.Clone(m.Header())
	for _, field := range []string{"From", "To", "Subject", "Message-Id", "Date", "Mime-Version", "Content-Type", "Content-Language", "Auto-Submitted"} {
		if len(header[field]) != 1 {
			sim.t.Errorf("%d header fields %s", len(header[field]), field)
		}
		delete(header, field)
	}
	if len(header) > 0 {
		sim.t.Errorf("unexpected header fields %v", header)
	}
	if domain := "@financelime.com>"; m.ID() != "" && !strings.HasSuffix(m.ID(), domain) {
		sim.t.Errorf("the Message-ID %s does not end with %s", m.ID(), domain)
	}
}

// TestMailRejected checks the replies of a relay. After a permanent rejection the mail has failed permanently and is not retried. After a
// temporary rejection, or one of the service and not of the mail, it is retried.
func TestMailRejected(t *testing.T) {
	parallel(t)
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
				sim := newSimulation(t, engine, 0, noInvites)
				sim.mails.SetPlan(smtprecorder.First(c.step, c.reply))
				sim.s.Run(t)
				email := sim.signUp("refused")
				if !c.dead {
					sim.waitSent(email)
					sim.checkSMTP(email, 1)
					return
				}
				eventually(t, "the mail has failed permanently", time.Minute, func() bool {
					_, _, dead := sim.mailState(email)
					return dead
				})
				other := sim.signUp("other")
				sim.waitSent(other)
				sim.checkSMTP(other, 1)
				if attempts, sent, _ := sim.mailState(email); attempts != 1 || sent {
					t.Errorf("%d attempts, sent: %t", attempts, sent)
				}
				sim.checkSMTP(email, 0)
				if !strings.Contains(sim.s.Log(), `"mail.dead"`) {
					t.Error("the permanent failure is not logged")
				}
			})
		}
	})
}

// TestMailInjection writes hostile values into rows of the database. None of them becomes a command, a header field or a recipient, and
// none delays the mail of others.
func TestMailInjection(t *testing.T) {
	parallel(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		sim := newSimulation(t, engine, 0, noInvites)
		sim.mails.Close()
		sim.s.Run(t)
		poison := func(name, update, value string) string {
			email := sim.signUp(name)
			sim.s.Exec(t, update, strings.ReplaceAll(value, "VICTIM", email), email)
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
			poison("request", "UPDATE mail SET request_id = $1 WHERE account_id = (SELECT id FROM account WHERE email = $2)", "....\r\nBcc: evil@example.com"+dottedRequestID),
			sim.signUp("healthy"),
		}
		if err := sim.mails.Open(); err != nil {
			t.Fatal(err)
		}
		for _, email := range harmless {
			sim.waitSent(email)
			sim.checkSMTP(email, 1)
		}
		sim.waitForMail(time.Minute)
		if n := sim.s.Count(t, "SELECT count(*) FROM mail WHERE dead_at IS NOT NULL"); n != 9 {
			t.Errorf("%d permanently failed mails, want 9", n)
		}
		if n := len(sim.mails.Messages()); n != len(harmless) {
			t.Errorf("%d mails were sent, want %d", n, len(harmless))
		}
		for n := range sim.mails.Sessions() {
			if said := strings.Join(sim.mails.Lines(n+1), ""); strings.Contains(said, "evil") {
				t.Errorf("the relay received %q", said)
			}
		}
	})
}

// TestMailNeedsTLS checks that neither mail nor credentials are sent to a relay without TLS and a valid certificate. With them the mail is
// sent.
func TestMailNeedsTLS(t *testing.T) {
	parallel(t)
	ca, other := testca.New(t), testca.New(t)
	harness.EachEngine(t, func(t *testing.T, engine string) {
		for name, relay := range map[string]*smtprecorder.Recorder{
			"STARTTLS stripped":   {},
			"unknown authority":   {TLS: other.Server(t, "localhost", time.Hour)},
			"wrong host":          {TLS: ca.Server(t, "mx.example.org", time.Hour)},
			"expired certificate": {TLS: ca.Server(t, "localhost", -time.Hour)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				relay.Auth, relay.Password = "PLAIN LOGIN", "s3cret"
				relay.Start(t)
				url := fmt.Sprintf("AUTH_MAIL_URL=smtp://user:s3cret@localhost:%d?ca=%s", relay.Port(), ca.File)
				sim := newSimulation(t, engine, 0, noInvites, url)
				sim.s.Run(t)
				email := sim.signUp("tls")
				eventually(t, "a second attempt", time.Minute, func() bool { return relay.Sessions() >= 2 })
				for n := range relay.Sessions() {
					for _, line := range relay.Lines(n + 1) {
						if verb, _, _ := strings.Cut(line, " "); slices.Contains([]string{"AUTH", "MAIL", "RCPT", "DATA\r\n"}, verb) {
							t.Errorf("the relay received %q", line)
						}
					}
				}
				if len(relay.Messages()) > 0 {
					t.Error("the mail was sent")
				}
				if _, sent, dead := sim.mailState(email); sent || dead {
					t.Errorf("the mail is sent: %t, permanently failed: %t", sent, dead)
				}
				if strings.Contains(sim.s.Log(), "s3cret") {
					t.Error("the log contains the relay's password")
				}
			})
		}
		t.Run("with TLS the mail is sent", func(t *testing.T) {
			t.Parallel()
			relay := &smtprecorder.Recorder{TLS: ca.Server(t, "localhost", time.Hour), Auth: "PLAIN LOGIN", Password: "s3cret"}
			relay.Plan = smtprecorder.First(smtprecorder.STARTTLS, "454 4.7.0 TLS not available")
			relay.Start(t)
			url := fmt.Sprintf("AUTH_MAIL_URL=smtp://user:s3cret@localhost:%d?ca=%s", relay.Port(), ca.File)
			sim := newSimulation(t, engine, 0, noInvites, url)
			sim.s.Run(t)
			email := sim.signUp("tls")
			sim.waitSent(email)
			if mails := relay.To(email); len(mails) != 1 || !mails[0].TLS {
				t.Errorf("%d mails, want 1 under TLS", len(mails))
			}
		})
	})
}
