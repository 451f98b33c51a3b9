package mail

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// authenticate logs in with the mechanism that the relay offers. It is reached only under TLS or on this machine, so
// the password can be sent as it is.
func (c *conversation) authenticate() error {
	const maxLine = 512 // RFC 4954, section 4; longer answers go on lines of their own
	user, pass := c.relay.user, c.relay.pass
	offered := strings.Fields(c.offered["AUTH"])
	switch {
	case slices.Contains(offered, "PLAIN"): // RFC 4616
		secret := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + pass))
		if line := "AUTH PLAIN " + secret; len(line)+len("\r\n") <= maxLine {
			return c.login(line)
		}
		return c.login("AUTH PLAIN", secret)
	case slices.Contains(offered, "LOGIN"):
		// Never standardised: the relay asks for the user name, then for the password, in words that differ from relay to relay.
		return c.login("AUTH LOGIN", base64.StdEncoding.EncodeToString([]byte(user)), base64.StdEncoding.EncodeToString([]byte(pass)))
	}
	return errors.New("the mail relay offers neither PLAIN nor LOGIN")
}

// login sends a line and then an answer to each question of the relay.
func (c *conversation) login(line string, answers ...string) error {
	got, err := c.ask("%s", line)
	for err == nil && got.class() == 3 {
		if len(answers) == 0 {
			_, _ = c.ask("*") // gives up: RFC 4954, section 4
			return errors.New("the mail relay asks for more than it should")
		}
		got, err = c.ask("%s", answers[0])
		answers = answers[1:]
	}
	if err != nil {
		return err
	}
	if err := got.expect(2); err != nil {
		return err
	}
	if len(answers) > 0 {
		return errors.New("the mail relay accepts the log-in before it has ended")
	}
	return nil
}
