package mail

import (
	"errors"
	"testing"
	"time"
)

// What a relay says decides what becomes of the mail, more than the step at which it says so.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const rcpt, data, dot = stepRecipient, stepData, stepMessage
	for _, c := range []struct {
		says  string
		steps []string
		want  ending
	}{
		// the address, the mailbox
		{"550 5.1.1 no such user", []string{rcpt, data, dot}, endDead},
		{"550 5.1.2 no such domain", []string{rcpt, dot}, endDead},
		{"553 5.1.3 bad syntax", []string{rcpt}, endDead},
		{"556 5.1.10 null MX", []string{rcpt}, endDead},
		{"550 5.2.1 disabled", []string{rcpt, dot}, endDead},
		{"552 5.2.2 mailbox full", []string{rcpt, dot}, endDead},
		{"550 5.7.17 another owner", []string{rcpt}, endDead},
		{"550-5.1.1 no such user\r\n550 5.1.1 at all", []string{rcpt}, endDead},
		// without an enhanced code: the same, unless everybody gets it
		{"550 no such user", []string{rcpt, dot}, endSuspect},
		{"550", []string{rcpt, dot}, endSuspect},
		{"551 user not local", []string{rcpt}, endSuspect},
		{"552 full", []string{rcpt}, endSuspect},
		{"553 not allowed", []string{rcpt}, endSuspect},
		{"556", []string{rcpt}, endSuspect},
		{"554 transaction failed", []string{dot}, endSuspect},
		{"550 5.0.0 other", []string{rcpt}, endSuspect},
		{"550 no such user relay@example.org", []string{rcpt}, endSuspect},
		{"550 <jane@example.org>: Recipient address rejected: User unknown in relay recipient table", []string{rcpt}, endSuspect},
		{"550 <relay-access-denied@example.org>: no such user", []string{rcpt}, endSuspect},
		// the message
		{"552 5.3.4 too big", []string{rcpt, data, dot}, endDead},
		{"554 5.6.0 bad content", []string{dot}, endDead},
		{"554 5.7.1 spam", []string{dot}, endSuspect},
		{"552 5.7.0 blocked content", []string{dot}, endSuspect},
		{"554 5.7.7 integrity", []string{dot}, endDead},
		// us: a log-in, the sender, where we come from
		{"530 5.7.0 Authentication required", []string{rcpt, data, dot}, endRelay},
		{"530", []string{rcpt, data, dot}, endRelay},
		{"530 5.5.1 Authentication Required", []string{rcpt, data, dot}, endRelay},
		{"535 5.7.8 bad credentials", []string{rcpt, data, dot}, endRelay},
		{"534 5.7.9 too weak", []string{rcpt}, endRelay},
		{"538 5.7.11 encryption required", []string{rcpt, data}, endRelay},
		{"550 5.7.3 client was not authenticated", []string{rcpt, data}, endRelay},
		{"550 5.7.13 account disabled", []string{rcpt, dot}, endRelay},
		{"550 5.7.23 SPF", []string{rcpt, dot}, endRelay},
		{"550-5.7.26 unauthenticated\r\n550 5.7.26 mail", []string{dot}, endRelay},
		{"550 5.7.54 unable to relay", []string{rcpt}, endRelay},
		{"550 5.7.606 banned", []string{rcpt, dot}, endRelay},
		{"550 5.1.8 bad sender", []string{rcpt, dot}, endRelay},
		{"553 5.1.7 sender syntax", []string{rcpt, dot}, endRelay},
		{"554 5.7.1 <jane@example.org>: Relay access denied", []string{rcpt, dot}, endRelay},
		{"550 relay not permitted", []string{rcpt}, endRelay},
		{"550 RELAYING to <jane@example.org> prohibited by administrator", []string{rcpt, dot}, endRelay},
		{"550 we do not relay", []string{rcpt}, endRelay},
		{"550 No relaying allowed.", []string{rcpt}, endRelay},
		{"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", []string{rcpt}, endRelay},
		{"550-Please turn on SMTP Authentication\r\n550-in your mail client,\r\n550 or login to the IMAP server first.", []string{rcpt}, endRelay},
		{"550 SMTP AUTH required", []string{rcpt, data}, endRelay},
		{"553 <no-reply@financelime.com>: not logged in as its owner", []string{rcpt}, endRelay},
		{"550 Must issue a STARTTLS command first", []string{rcpt}, endRelay},
		{"550 Access denied: invalid HELO name", []string{rcpt}, endRelay},
		{"550 Sender verify failed", []string{rcpt}, endRelay},
		{"550 message failed DKIM authentication", []string{dot}, endRelay},
		{"554 Message rejected: Email address is not verified. The following identities failed: no-reply@financelime.com", []string{dot}, endRelay},
		{"550 Sending limit exceeded for this account", []string{rcpt, dot}, endRelay},
		{"550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked", []string{rcpt, data}, endRelay},
		{"553 Authentication required.", []string{rcpt}, endRelay},
		{"454 4.7.0 log-in is not possible now", []string{rcpt, data, dot}, endRelay},
		{"450 4.7.25 no reverse name", []string{rcpt}, endRelay},
		{"450 4.1.8 sender's domain not found", []string{rcpt, dot}, endRelay},
		{"432 4.7.12", []string{rcpt}, endRelay},
		// the system
		{"421 4.3.2 going down", []string{rcpt, data, dot}, endRelay},
		{"421", []string{rcpt, data, dot}, endRelay},
		{"451 4.3.0 error", []string{rcpt, data, dot}, endRelay},
		{"452 4.3.1 full disk", []string{rcpt, data, dot}, endRelay},
		{"554 5.3.0 error", []string{rcpt, data, dot}, endRelay},
		{"550 5.3.2 not accepting mail", []string{rcpt, dot}, endRelay},
		{"521 5.3.2 not accepting mail", []string{rcpt}, endRelay},
		{"521", []string{rcpt}, endRelay},
		// nobody can tell yet
		{"450 4.2.0 greylisted", []string{rcpt, data, dot}, endLater},
		{"451 4.7.1 greylisted", []string{rcpt, data, dot}, endLater},
		{"450 4.7.0 greylisted", []string{rcpt}, endLater},
		{"451 later", []string{rcpt, data, dot}, endLater},
		{"450", []string{rcpt, data, dot}, endLater},
		{"452 4.2.2 mailbox full", []string{rcpt, dot}, endLater},
		{"452 4.5.3 too many recipients", []string{rcpt}, endLater},
		{"550 5.7.1 refused", []string{rcpt, data}, endLater},
		{"550 5.4.4 no route", []string{rcpt, dot}, endLater},
		{"503 5.5.1 bad sequence", []string{rcpt, data, dot}, endLater},
		{"500", []string{rcpt, data, dot}, endLater},
		{"554 no", []string{rcpt, data}, endLater},
		{"550 no", []string{data}, endLater},
		{"250 what?", []string{data}, endLater},
		{"354 what?", []string{rcpt, dot}, endLater},
	} {
		for _, step := range c.steps {
			t.Run(step+" "+c.says, func(t *testing.T) {
				t.Parallel()
				verb := map[string]string{rcpt: "RCPT", data: "DATA", dot: "message"}[step]
				r := (&recorder{answer: func(v string) string { return map[string]string{verb: c.says}[v] }}).start(t)
				err := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", 10*time.Second).Send(t.Context(), sampleEnvelope())
				trouble, isRelay := errors.AsType[*RelayError](err)
				_, unclear := errors.AsType[*RefusedError](err)
				got := map[[3]bool]ending{
					{true, false, false}: endDead, {true, false, true}: endSuspect, {false, false, true}: endLater, {false, true, false}: endRelay,
				}[[3]bool{isPermanent(err), isRelay, unclear}]
				if err == nil || got != c.want || isRelay && !trouble.Heard {
					t.Errorf("leads to %d, want %d: %v", got, c.want, err)
				}
			})
		}
	}
}

// Before it has heard of a mail, whatever a relay says is about itself or about us.
func TestRefusalsBeforeTheRecipient(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"greeting", "EHLO", "AUTH", "MAIL"} {
		for _, says := range []string{"421", "450", "451 4.3.0 x", "550", "550 5.1.1 x", "530 5.7.0 x", "535", "554 5.7.1 x"} {
			r := (&recorder{auth: "PLAIN", password: "secret", answer: func(v string) string {
				if v == verb || verb == "EHLO" && v == "HELO" {
					return says
				}
				return ""
			}}).start(t)
			err := open(t, "smtp://user:secret@127.0.0.1:"+r.port+"?tls=none", 10*time.Second).Send(t.Context(), sampleEnvelope())
			if trouble, is := errors.AsType[*RelayError](err); !is || trouble.Heard || isPermanent(err) {
				t.Errorf("%s at %s: %v", says, verb, err)
			}
		}
	}
}

// A connection that is cut, or a relay that falls silent, once it has heard of the mail may be about this mail alone.
func TestCutIsUnclear(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"RCPT", "DATA", "message"} {
		for _, fault := range []string{drop, stall} {
			r := (&recorder{answer: func(v string) string { return map[string]string{verb: fault}[v] }}).start(t)
			err := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", 300*time.Millisecond).Send(t.Context(), sampleEnvelope())
			if _, is := errors.AsType[*RefusedError](err); !is || isPermanent(err) {
				t.Errorf("%s at %s: %v", fault, verb, err)
			}
		}
	}
}
