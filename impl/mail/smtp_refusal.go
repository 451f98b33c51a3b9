package mail

import (
	"errors"
	"slices"
	"strings"
)

// The steps at which the relay has the recipient.
const (
	stepRecipient = "RCPT TO"
	stepData      = "DATA"
	stepMessage   = "message"
)

// consequence is what a refusal means for the mail. docs/mail.md has the table for operators.
type consequence int

const (
	permanentFailure        consequence = iota // no later attempt can succeed: the mailbox or the message is refused
	permanentUnlessEveryone                    // the same, or a relay problem if the relay refuses every recipient
	retryUnlessEveryone                        // tried again after a delay, or a relay problem if the relay refuses every recipient
	relayProblem                               // the relay has a problem, or refuses the service and not this mail
)

// classify returns the error of a step as the type that says what it means for the mail. The reply matters more than the step.
func classify(step string, err error) error {
	if err == nil {
		return nil
	}
	means := retryUnlessEveryone // the connection was lost or silent
	if got, ok := errors.AsType[*replyError](err); ok {
		means = got.consequence(step)
	}
	switch means {
	case permanentFailure:
		return permanent(err)
	case permanentUnlessEveryone:
		return permanent(&RefusedError{Err: err})
	case relayProblem:
		return &RelayError{Err: err, AfterRecipient: true}
	case retryUnlessEveryone:
	}
	return &RefusedError{Err: err}
}

// consequence decides by the enhanced status code (RFC 3463, RFC 5248) if the reply has a specific one, otherwise by the code.
func (r reply) consequence(step string) consequence {
	subject, detail, ok := r.enhanced()
	switch {
	case r.code == 421: // the relay ends the session: RFC 5321, section 3.8
		return relayProblem
	case r.class() < 4: // not expected at this step: client and relay are out of step
		return retryUnlessEveryone
	case isLoginCode(r.code) && (!ok || subject > 2): // not about an address or a mailbox; some relays send 5.5.1
		return relayProblem
	case ok && r.class() == 4:
		return temporary(subject, detail)
	case r.class() == 4:
		return retryUnlessEveryone
	case ok && subject == 7:
		return r.policy(step, detail)
	case ok:
		return lasting(subject, detail)
	}
	return r.withoutEnhanced(step)
}

// temporary decides about a 4xx. Greylisting sends 4.2.0, 4.7.0 or 4.7.1.
func temporary(subject, detail int) consequence {
	if subject == 3 || isSenderAddress(subject, detail) || subject == 7 && isAboutSender(detail) {
		return relayProblem
	}
	return retryUnlessEveryone
}

// lasting decides about a 5xx that is not about policy.
func lasting(subject, detail int) consequence {
	switch {
	case isSenderAddress(subject, detail):
		return relayProblem
	case subject == 1, subject == 2, subject == 6: // the address, the mailbox, the content
		return permanentFailure
	case subject == 3 && detail == 4: // the message is too big
		return permanentFailure
	case subject == 3: // the mail system
		return relayProblem
	}
	return retryUnlessEveryone // routing or protocol: of this mail, or of every mail
}

// policy decides about a 5xx whose subject is security or policy.
func (r reply) policy(step string, detail int) consequence {
	switch {
	case isAboutSender(detail), detail <= 1 && r.refusesSender():
		return relayProblem
	case detail == 2, detail == 7, detail == 17, detail == 18: // a mailing list, the integrity of the message, a mailbox or domain with a new owner
		return permanentFailure
	case step == stepMessage:
		return permanentUnlessEveryone // the message was refused
	}
	return retryUnlessEveryone
}

// withoutEnhanced decides about a 5xx without an enhanced status code, or with an unspecific one.
func (r reply) withoutEnhanced(step string) consequence {
	mailbox := []int{550, 551, 552, 553, 556} // RFC 5321, RFC 7504
	switch {
	case r.code == 521, r.refusesSender():
		return relayProblem
	case step == stepData, r.code < 510, r.code == 555: // about the session, not the mail
		return retryUnlessEveryone
	case step == stepMessage, slices.Contains(mailbox, r.code):
		return permanentUnlessEveryone
	}
	return retryUnlessEveryone
}

// isLoginCode reports whether a code of RFC 4954 says that the login is missing, failed or too weak.
func isLoginCode(code int) bool {
	return slices.Contains([]int{432, 454, 530, 534, 535, 538}, code)
}

// isSenderAddress reports whether an enhanced code is about the sender's address.
func isSenderAddress(subject, detail int) bool { return subject == 1 && (detail == 7 || detail == 8) }

// isAboutSender reports whether a detail of X.7.x is about the sender: encryption and login (3 to 6, 8 to 16), SPF, DKIM, DMARC, the name of
// the host, floods (20 to 30), and vendors' codes above.
func isAboutSender(detail int) bool {
	return detail >= 3 && detail != 7 && detail != 17 && detail != 18
}

// refusesSender reports whether the text of a reply with an unspecific code refuses the sender, whatever the recipient is. It ignores names
// and addresses in the text.
func (r reply) refusesSender() bool {
	words := strings.Fields(strings.ToLower(r.text()))
	words = slices.DeleteFunc(words, func(word string) bool {
		return strings.ContainsAny(strings.TrimRight(word, ".,;:!"), "@.<>[]")
	})
	text := strings.Join(words, " ")
	return slices.ContainsFunc([]string{
		// Not "relay" alone: "user unknown in relay recipient table" is about the mailbox.
		"relay access denied", "relay denied", "relay not", "relay is", "relay rejected", "relaying", "no relay", "not relay", "to relay", "cannot relay",
		"list of allowed rcpthosts",
		"authenticat", "smtp auth", "auth required", "log in first", "login required", "login first", "logged in",
		"starttls", "tls required", "tls is required", "encryption required", "encryption is required",
		"client host", "helo", "sender address rejected", "sender rejected", "sender verify failed", "spf check failed", "email address is not verified",
		"sending limit", "sending quota",
	}, func(phrase string) bool { return strings.Contains(text, phrase) })
}
