package mail

import (
	"errors"
	"slices"
	"strings"
)

// The steps at which the relay has heard of a mail.
const (
	stepRecipient = "RCPT TO"
	stepData      = "DATA"
	stepMessage   = "message"
)

// ending is what a refusal leads to. docs/mail.md has the same table for people.
type ending int

const (
	endDead    ending = iota // no later attempt can succeed: the mailbox or the message is refused
	endSuspect               // the same, unless the relay says so to everybody: the message or we are not wanted
	endLater                 // tried again, after the mail's own pauses; if the relay says so to everybody, it is in trouble
	endRelay                 // the relay is in trouble, or refuses us and not this mail
)

// classify says what the error of a step means for the mail. What the relay says decides, more than when it says so.
func classify(step string, err error) error {
	if err == nil {
		return nil
	}
	refused := endLater // the connection was cut, or the relay fell silent
	if got, is := errors.AsType[*replyError](err); is {
		refused = got.end(step)
	}
	switch refused {
	case endDead:
		return permanent(err)
	case endSuspect:
		return permanent(&RefusedError{Err: err})
	case endRelay:
		return &RelayError{Err: err, Heard: true}
	case endLater:
	}
	return &RefusedError{Err: err}
}

// end says what a refusal leads to: by its enhanced status code (RFC 3463, RFC 5248) if it has one that tells, or by its code.
func (r reply) end(step string) ending {
	subject, detail, ok := r.enhanced()
	switch {
	case r.code == 421: // the relay ends the conversation: RFC 5321, section 3.8
		return endRelay
	case r.class() < 4: // not what this step expects; the conversation is out of step
		return endLater
	case isLoginCode(r.code) && (!ok || subject > 2): // not of an address or a mailbox; some relays say 5.5.1
		return endRelay
	case ok && r.class() == 4:
		return temporary(subject, detail)
	case r.class() == 4:
		return endLater
	case ok && subject == 7:
		return r.policy(step, detail)
	case ok:
		return lasting(subject, detail)
	}
	return r.withoutEnhanced(step)
}

// temporary is the end of a 4xx. Greylisting says 4.2.0, 4.7.0 or 4.7.1.
func temporary(subject, detail int) ending {
	if subject == 3 || isOurAddress(subject, detail) || subject == 7 && isAboutUs(detail) {
		return endRelay
	}
	return endLater
}

// lasting is the end of a 5xx that is not about policy.
func lasting(subject, detail int) ending {
	switch {
	case isOurAddress(subject, detail):
		return endRelay
	case subject == 1, subject == 2, subject == 6: // the address, the mailbox, the content
		return endDead
	case subject == 3 && detail == 4: // the message is too big
		return endDead
	case subject == 3: // the mail system
		return endRelay
	}
	return endLater // routes and the protocol: of this mail, or of all
}

// policy is the end of a 5xx whose subject is security and policy.
func (r reply) policy(step string, detail int) ending {
	switch {
	case isAboutUs(detail), detail <= 1 && r.blamesUs():
		return endRelay
	case detail == 2, detail == 7, detail == 17, detail == 18: // mailing lists, integrity, the mailbox or domain has a new owner
		return endDead
	case step == stepMessage:
		return endSuspect // it was the message that was refused
	}
	return endLater
}

// withoutEnhanced is the end of a 5xx that has no enhanced status code, or one that says nothing.
func (r reply) withoutEnhanced(step string) ending {
	mailbox := []int{550, 551, 552, 553, 556} // RFC 5321, RFC 7504
	switch {
	case r.code == 521, r.blamesUs():
		return endRelay
	case step == stepData, r.code < 510, r.code == 555: // the conversation, not the mail
		return endLater
	case step == stepMessage, slices.Contains(mailbox, r.code):
		return endSuspect
	}
	return endLater
}

// isLoginCode recognizes the codes of RFC 4954: log in first, the log-in has failed, or has to be stronger.
func isLoginCode(code int) bool {
	return slices.Contains([]int{432, 454, 530, 534, 535, 538}, code)
}

// isOurAddress recognizes what is about the sender's address.
func isOurAddress(subject, detail int) bool { return subject == 1 && (detail == 7 || detail == 8) }

// isAboutUs recognizes the details of X.7.x that are about the sender: encryption and log-in (3 to 6, 8 to 16), SPF, DKIM, DMARC,
// the name of our host, floods (20 to 30), and what vendors put above.
func isAboutUs(detail int) bool {
	return detail >= 3 && detail != 7 && detail != 17 && detail != 18
}

// blamesUs recognizes, where the code tells nothing, the words of relays that want no mail from us, whoever it is for. The names
// and addresses in a reply are not looked at.
func (r reply) blamesUs() bool {
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
	}, func(words string) bool { return strings.Contains(text, words) })
}
