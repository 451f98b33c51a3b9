package mail

import (
	"errors"
	"net/smtp"
	"slices"
	"strings"
)

// authenticate logs in with the mechanism that the relay offers. It is reached only under TLS or on this machine, so
// the password can be sent as it is; that is why net/smtp's own PlainAuth with its own idea of that is not used.
func (c *conversation) authenticate() error {
	_, parameters := c.client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(parameters))
	switch {
	case slices.Contains(offered, "PLAIN"):
		return c.client.Auth(plainAuth{c.relay.user, c.relay.pass})
	case slices.Contains(offered, "LOGIN"):
		return c.client.Auth(&loginAuth{answers: []string{c.relay.user, c.relay.pass}})
	}
	return errors.New("the mail relay offers neither PLAIN nor LOGIN")
}

// plainAuth is SASL PLAIN: RFC 4616.
type plainAuth struct{ user, pass string }

func (a plainAuth) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "PLAIN", []byte("\x00" + a.user + "\x00" + a.pass), nil
}

func (plainAuth) Next(_ []byte, more bool) ([]byte, error) { return nil, noMore(more) }

// loginAuth is AUTH LOGIN, never standardised: the relay asks for the user name, then for the password, in words that
// differ from relay to relay.
type loginAuth struct{ answers []string }

func (*loginAuth) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }

func (a *loginAuth) Next(_ []byte, more bool) ([]byte, error) {
	if !more || len(a.answers) == 0 {
		return nil, noMore(more)
	}
	answer := []byte(a.answers[0])
	a.answers = a.answers[1:]
	return answer, nil
}

func noMore(more bool) error {
	if more {
		return errors.New("the mail relay asks for more than it should")
	}
	return nil
}
