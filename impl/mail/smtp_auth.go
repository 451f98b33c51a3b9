package mail

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// authenticate logs in with a mechanism that the relay offers. It is called only with TLS or on this machine, so the password can be
// sent in plain text.
func (s *smtpSession) authenticate() error {
	const maxLine = 512 // RFC 4954, section 4: a longer initial response is sent on a line of its own
	user, pass := s.relay.user, s.relay.pass
	offered := strings.Fields(s.offered["AUTH"])
	switch {
	case slices.Contains(offered, "PLAIN"): // RFC 4616
		secret := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + pass))
		if line := "AUTH PLAIN " + secret; len(line)+len("\r\n") <= maxLine {
			return s.login(line)
		}
		return s.login("AUTH PLAIN", secret)
	case slices.Contains(offered, "LOGIN"):
		// Not standardized: the relay prompts for the user name, then for the password. The prompts differ.
		return s.login("AUTH LOGIN", base64.StdEncoding.EncodeToString([]byte(user)), base64.StdEncoding.EncodeToString([]byte(pass)))
	}
	return errors.New("the mail relay offers neither PLAIN nor LOGIN")
}

// login sends a line and then one response to each prompt (334) of the relay.
func (s *smtpSession) login(line string, responses ...string) error {
	got, err := s.exchange("%s", line)
	for err == nil && got.class() == 3 {
		if len(responses) == 0 {
			_, _ = s.exchange("*") // cancels: RFC 4954, section 4
			return errors.New("the mail relay sends too many prompts")
		}
		got, err = s.exchange("%s", responses[0])
		responses = responses[1:]
	}
	if err != nil {
		return err
	}
	if err := got.expect(2); err != nil {
		return err
	}
	if len(responses) > 0 {
		return errors.New("the mail relay accepts the login before it is complete")
	}
	return nil
}
