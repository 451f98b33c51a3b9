package token

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
)

// StepTTL is how long a ticket or a ceremony is valid.
const StepTTL = 5 * time.Minute

// The kinds of tokens between two steps.
const (
	kindTicket   = "ticket"
	kindCeremony = "ceremony"
)

// shortLived issues and verifies the tokens between the steps of an authentication: JWTs that are signed by HMAC. Each kind has its own type,
// audience and key, so none can be used as another (RFC 8725 section 3.11).
type shortLived struct {
	root    secret.Root
	cfg     Config
	kind    string // "ticket": the type is ticket+jwt
	maxSize int    // in bytes
	parser  *jwt.Parser
}

func newShortLived(root secret.Root, cfg Config, kind string, maxSize int) (shortLived, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return shortLived{}, err
	}
	s := shortLived{root: root, cfg: cfg, kind: kind, maxSize: maxSize}
	s.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(s.audience()),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway), // two replicas handle the steps of one login
		jwt.WithTimeFunc(cfg.Clock.Now),
	)
	return s, nil
}

func (s shortLived) audience() string { return s.cfg.stepAudience(s.kind) }

func (s shortLived) common() commonClaims {
	c := commonClaims{Issuer: s.cfg.Issuer, Audience: s.audience()}
	c.IssuedAt, c.ExpiresAt = issueTimes(s.cfg.Clock.Now(), StepTTL)
	return c
}

func (s shortLived) sign(claims jwt.Claims) (string, error) {
	token := &jwt.Token{
		Method: jwt.SigningMethodHS256,
		Header: map[string]any{"typ": s.kind + "+jwt", "alg": jwt.SigningMethodHS256.Alg()},
		Claims: claims,
	}
	signed, err := token.SignedString(s.root.Key(s.kind))
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", s.kind, err)
	}
	return signed, nil
}

// parse verifies a token, also one that was signed under the other secret of a change, and reads its claims.
func (s shortLived) parse(raw string, claims jwt.Claims) error {
	h, err := readHeader(raw, s.maxSize)
	if err != nil {
		return err
	}
	if h.Type != s.kind+"+jwt" || h.Algorithm != jwt.SigningMethodHS256.Alg() || h.KeyID != "" {
		return invalid("type")
	}
	keys := func(*jwt.Token) (any, error) {
		var keys jwt.VerificationKeySet
		for _, root := range s.root.All() {
			keys.Keys = append(keys.Keys, root.Key(s.kind))
		}
		return keys, nil
	}
	if _, err := s.parser.ParseWithClaims(raw, claims, keys); err != nil {
		return parseError(err)
	}
	return nil
}

// Tickets issues and verifies tickets. A ticket says that a password was right, and that the login needs a second factor.
type Tickets struct{ shortLived }

// Ticket is a login whose password was right.
type Ticket struct {
	AccountID      uuid.UUID
	PasswordDigest []byte // of the hash that matched: the login fails if that is no longer a password of the account
	ClientID       string
	Platform       string
}

// maxTicket limits the length of a ticket in bytes. Tickets have about 500 bytes.
const maxTicket = 4 << 10

// NewTickets returns Tickets whose key is derived from root.
func NewTickets(root secret.Root, cfg Config) (*Tickets, error) {
	s, err := newShortLived(root, cfg, kindTicket, maxTicket)
	return &Tickets{s}, err
}

type ticketClaims struct {
	commonClaims
	Subject  string `json:"sub"`
	Password []byte `json:"pwd"`
	ClientID string `json:"client_id"`
	Platform string `json:"platform"`
}

// UnmarshalJSON parses the claims strictly, even when golang-jwt's lenient decoder calls it.
func (c *ticketClaims) UnmarshalJSON(text []byte) error {
	type plain ticketClaims
	return unmarshalClaims(text, (*plain)(c))
}

// Issue returns the token of a ticket.
func (t *Tickets) Issue(ticket Ticket) (string, error) {
	return t.sign(ticketClaims{
		commonClaims: t.common(), Subject: ticket.AccountID.String(), Password: ticket.PasswordDigest,
		ClientID: ticket.ClientID, Platform: ticket.Platform,
	})
}

// Parse verifies a ticket. It returns [ErrInvalid] if this service did not issue it, or it has expired.
func (t *Tickets) Parse(raw string) (Ticket, error) {
	var c ticketClaims
	if err := t.parse(raw, &c); err != nil {
		return Ticket{}, err
	}
	account, ok := canonicalUUID(c.Subject)
	if !ok || len(c.Password) == 0 {
		return Ticket{}, invalid("claims")
	}
	return Ticket{AccountID: account, PasswordDigest: c.Password, ClientID: c.ClientID, Platform: c.Platform}, nil
}

// The purposes of a ceremony.
const (
	CeremonyLogIn        = "login"         // with a passkey and no password, or to authenticate again in a session
	CeremonySecondFactor = "second_factor" // after a right password
	CeremonyRegistration = "registration"
)

// Ceremonies issues and verifies ceremonies: what the service must remember of a WebAuthn ceremony until the browser's response arrives.
type Ceremonies struct{ shortLived }

// Ceremony is a WebAuthn ceremony that has begun.
type Ceremony struct {
	Purpose   string
	AccountID uuid.UUID       // Nil: any account
	SessionID uuid.UUID       // of a registration; otherwise Nil
	Data      json.RawMessage // the session data of the WebAuthn library
	ExpiresAt time.Time       // set by Parse
}

// maxCeremony limits the length of a ceremony in bytes: a body has at most 16 KiB.
const maxCeremony = 12 << 10

// NewCeremonies returns Ceremonies whose key is derived from root.
func NewCeremonies(root secret.Root, cfg Config) (*Ceremonies, error) {
	s, err := newShortLived(root, cfg, kindCeremony, maxCeremony)
	return &Ceremonies{s}, err
}

type ceremonyClaims struct {
	commonClaims
	Purpose string `json:"purpose"`
	Subject string `json:"sub,omitempty"`
	Session string `json:"sid,omitempty"`
	Data    string `json:"data"`
}

// UnmarshalJSON parses the claims strictly, even when golang-jwt's lenient decoder calls it.
func (c *ceremonyClaims) UnmarshalJSON(text []byte) error {
	type plain ceremonyClaims
	return unmarshalClaims(text, (*plain)(c))
}

// Issue returns the token of a ceremony.
func (t *Ceremonies) Issue(ceremony Ceremony) (string, error) {
	return t.sign(ceremonyClaims{
		commonClaims: t.common(), Purpose: ceremony.Purpose, Subject: optionalID(ceremony.AccountID), Session: optionalID(ceremony.SessionID),
		Data: string(ceremony.Data),
	})
}

// Parse verifies a ceremony. It returns [ErrInvalid] if this service did not issue it for the purpose, or it has expired.
func (t *Ceremonies) Parse(raw, purpose string) (Ceremony, error) {
	var c ceremonyClaims
	if err := t.parse(raw, &c); err != nil {
		return Ceremony{}, err
	}
	account, okAccount := parseOptionalID(c.Subject)
	session, okSession := parseOptionalID(c.Session)
	if !okAccount || !okSession || c.Purpose != purpose {
		return Ceremony{}, invalid("claims")
	}
	return Ceremony{
		Purpose: c.Purpose, AccountID: account, SessionID: session, Data: json.RawMessage(c.Data),
		ExpiresAt: time.Unix(*c.ExpiresAt, 0).UTC(),
	}, nil
}

func optionalID(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

func parseOptionalID(s string) (uuid.UUID, bool) {
	if s == "" {
		return uuid.Nil, true
	}
	return canonicalUUID(s)
}
