package mail

import (
	"errors"
	"testing"
	"time"
)

// String returns the name of a consequence, for the messages of tests.
func (c consequence) String() string {
	return [...]string{"permanentFailure", "permanentUnlessEveryone", "retryUnlessEveryone", "relayProblem"}[c]
}

// refusal is a reply, the steps at which it is tested, and what it means for the mail.
type refusal struct {
	reply string
	steps []string
	want  consequence
}

// mailRefusals returns replies about the mailbox or the message.
func mailRefusals() []refusal {
	const rcpt, data, dot = stepRecipient, stepData, stepMessage
	return []refusal{
		// the address, the mailbox
		{"550 5.1.1 no such user", []string{rcpt, data, dot}, permanentFailure},
		{"550 5.1.2 no such domain", []string{rcpt, dot}, permanentFailure},
		{"553 5.1.3 bad syntax", []string{rcpt}, permanentFailure},
		{"556 5.1.10 null MX", []string{rcpt}, permanentFailure},
		{"550 5.2.1 disabled", []string{rcpt, dot}, permanentFailure},
		{"552 5.2.2 mailbox full", []string{rcpt, dot}, permanentFailure},
		{"550 5.7.17 another owner", []string{rcpt}, permanentFailure},
		{"550-5.1.1 no such user\r\n550 5.1.1 at all", []string{rcpt}, permanentFailure},
		// without an enhanced code: the same, unless every recipient is refused
		{"550 no such user", []string{rcpt, dot}, permanentUnlessEveryone},
		{"550", []string{rcpt, dot}, permanentUnlessEveryone},
		{"551 user not local", []string{rcpt}, permanentUnlessEveryone},
		{"552 full", []string{rcpt}, permanentUnlessEveryone},
		{"553 not allowed", []string{rcpt}, permanentUnlessEveryone},
		{"556", []string{rcpt}, permanentUnlessEveryone},
		{"554 transaction failed", []string{dot}, permanentUnlessEveryone},
		{"550 5.0.0 other", []string{rcpt}, permanentUnlessEveryone},
		{"550 no such user relay@example.org", []string{rcpt}, permanentUnlessEveryone},
		{"550 <jane@example.org>: Recipient address rejected: User unknown in relay recipient table", []string{rcpt}, permanentUnlessEveryone},
		{"550 <relay-access-denied@example.org>: no such user", []string{rcpt}, permanentUnlessEveryone},
		// the message
		{"552 5.3.4 too big", []string{rcpt, data, dot}, permanentFailure},
		{"554 5.6.0 bad content", []string{dot}, permanentFailure},
		{"554 5.7.1 spam", []string{dot}, permanentUnlessEveryone},
		{"552 5.7.0 blocked content", []string{dot}, permanentUnlessEveryone},
		{"554 5.7.7 integrity", []string{dot}, permanentFailure},
	}
}

// senderRefusals returns replies about the sender or the relay, and unspecific ones.
func senderRefusals() []refusal {
	const rcpt, data, dot = stepRecipient, stepData, stepMessage
	return []refusal{
		// the sender: the login, the address, the host
		{"530 5.7.0 Authentication required", []string{rcpt, data, dot}, relayProblem},
		{"530", []string{rcpt, data, dot}, relayProblem},
		{"530 5.5.1 Authentication Required", []string{rcpt, data, dot}, relayProblem},
		{"535 5.7.8 bad credentials", []string{rcpt, data, dot}, relayProblem},
		{"534 5.7.9 too weak", []string{rcpt}, relayProblem},
		{"538 5.7.11 encryption required", []string{rcpt, data}, relayProblem},
		{"550 5.7.3 client was not authenticated", []string{rcpt, data}, relayProblem},
		{"550 5.7.13 account disabled", []string{rcpt, dot}, relayProblem},
		{"550 5.7.23 SPF", []string{rcpt, dot}, relayProblem},
		{"550-5.7.26 unauthenticated\r\n550 5.7.26 mail", []string{dot}, relayProblem},
		{"550 5.7.54 unable to relay", []string{rcpt}, relayProblem},
		{"550 5.7.606 banned", []string{rcpt, dot}, relayProblem},
		{"550 5.1.8 bad sender", []string{rcpt, dot}, relayProblem},
		{"553 5.1.7 sender syntax", []string{rcpt, dot}, relayProblem},
		{"554 5.7.1 <jane@example.org>: Relay access denied", []string{rcpt, dot}, relayProblem},
		{"550 relay not permitted", []string{rcpt}, relayProblem},
		{"550 RELAYING to <jane@example.org> prohibited by administrator", []string{rcpt, dot}, relayProblem},
		{"550 we do not relay", []string{rcpt}, relayProblem},
		{"550 No relaying allowed.", []string{rcpt}, relayProblem},
		{"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", []string{rcpt}, relayProblem},
		{"550-Please turn on SMTP Authentication\r\n550-in your mail client,\r\n550 or login to the IMAP server first.", []string{rcpt}, relayProblem},
		{"550 SMTP AUTH required", []string{rcpt, data}, relayProblem},
		{"553 <no-reply@financelime.com>: not logged in as its owner", []string{rcpt}, relayProblem},
		{"550 Must issue a STARTTLS command first", []string{rcpt}, relayProblem},
		{"550 Access denied: invalid HELO name", []string{rcpt}, relayProblem},
		{"550 Sender verify failed", []string{rcpt}, relayProblem},
		{"550 message failed DKIM authentication", []string{dot}, relayProblem},
		{"554 Message rejected: Email address is not verified. The following identities failed: no-reply@financelime.com", []string{dot}, relayProblem},
		{"550 Sending limit exceeded for this account", []string{rcpt, dot}, relayProblem},
		{"550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked", []string{rcpt, data}, relayProblem},
		{"553 Authentication required.", []string{rcpt}, relayProblem},
		{"454 4.7.0 login is not possible now", []string{rcpt, data, dot}, relayProblem},
		{"450 4.7.25 no reverse name", []string{rcpt}, relayProblem},
		{"450 4.1.8 sender's domain not found", []string{rcpt, dot}, relayProblem},
		{"432 4.7.12", []string{rcpt}, relayProblem},
		// the system
		{"421 4.3.2 going down", []string{rcpt, data, dot}, relayProblem},
		{"421", []string{rcpt, data, dot}, relayProblem},
		{"451 4.3.0 error", []string{rcpt, data, dot}, relayProblem},
		{"452 4.3.1 full disk", []string{rcpt, data, dot}, relayProblem},
		{"554 5.3.0 error", []string{rcpt, data, dot}, relayProblem},
		{"550 5.3.2 not accepting mail", []string{rcpt, dot}, relayProblem},
		{"521 5.3.2 not accepting mail", []string{rcpt}, relayProblem},
		{"521", []string{rcpt}, relayProblem},
		// unknown
		{"450 4.2.0 greylisted", []string{rcpt, data, dot}, retryUnlessEveryone},
		{"451 4.7.1 greylisted", []string{rcpt, data, dot}, retryUnlessEveryone},
		{"450 4.7.0 greylisted", []string{rcpt}, retryUnlessEveryone},
		{"451 later", []string{rcpt, data, dot}, retryUnlessEveryone},
		{"450", []string{rcpt, data, dot}, retryUnlessEveryone},
		{"452 4.2.2 mailbox full", []string{rcpt, dot}, retryUnlessEveryone},
		{"452 4.5.3 too many recipients", []string{rcpt}, retryUnlessEveryone},
		{"550 5.7.1 refused", []string{rcpt, data}, retryUnlessEveryone},
		{"550 5.4.4 no route", []string{rcpt, dot}, retryUnlessEveryone},
		{"503 5.5.1 bad sequence", []string{rcpt, data, dot}, retryUnlessEveryone},
		{"500", []string{rcpt, data, dot}, retryUnlessEveryone},
		{"554 no", []string{rcpt, data}, retryUnlessEveryone},
		{"550 no", []string{data}, retryUnlessEveryone},
		{"250 what?", []string{data}, retryUnlessEveryone},
		{"354 what?", []string{rcpt, dot}, retryUnlessEveryone},
	}
}

// TestRefusals expects the reply to determine the result, more than the step.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const rcpt, data, dot = stepRecipient, stepData, stepMessage
	for _, c := range append(mailRefusals(), senderRefusals()...) {
		for _, step := range c.steps {
			t.Run(step+" "+c.reply, func(t *testing.T) {
				t.Parallel()
				verb := map[string]string{rcpt: "RCPT", data: "DATA", dot: "message"}[step]
				r := (&recorder{answer: func(v string) string { return map[string]string{verb: c.reply}[v] }}).start(t)
				err := open(t, "smtp://127.0.0.1:"+r.port+"?tls=none", 10*time.Second).Send(t.Context(), sampleEnvelope())
				relayErr, isRelay := errors.AsType[*RelayError](err)
				_, isRefused := errors.AsType[*RefusedError](err)
				got := map[[3]bool]consequence{
					{true, false, false}: permanentFailure, {true, false, true}: permanentUnlessEveryone, {false, false, true}: retryUnlessEveryone, {false, true, false}: relayProblem,
				}[[3]bool{isPermanent(err), isRelay, isRefused}]
				if err == nil || got != c.want || isRelay && !relayErr.AfterRecipient {
					t.Errorf("means %s, want %s: %v", got, c.want, err)
				}
			})
		}
	}
}

// TestRefusalsBeforeTheRecipient expects every reply before the relay has the recipient to be about the relay or the sender.
func TestRefusalsBeforeTheRecipient(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"greeting", "EHLO", "AUTH", "MAIL"} {
		for _, reply := range []string{"421", "450", "451 4.3.0 x", "550", "550 5.1.1 x", "530 5.7.0 x", "535", "554 5.7.1 x"} {
			r := (&recorder{auth: "PLAIN", password: "secret", answer: func(v string) string {
				if v == verb || verb == "EHLO" && v == "HELO" {
					return reply
				}
				return ""
			}}).start(t)
			err := open(t, "smtp://user:secret@127.0.0.1:"+r.port+"?tls=none", 10*time.Second).Send(t.Context(), sampleEnvelope())
			if relayErr, is := errors.AsType[*RelayError](err); !is || relayErr.AfterRecipient || isPermanent(err) {
				t.Errorf("%s at %s: %v", reply, verb, err)
			}
		}
	}
}

// TestLostConnectionAfterRecipient expects a connection that is lost or silent after RCPT TO to concern this mail alone.
func TestLostConnectionAfterRecipient(t *testing.T) {
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
