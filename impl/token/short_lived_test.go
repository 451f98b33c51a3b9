package token

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/fakeclock"
)

// step is a kind of token between two steps, as these tests see it.
type step struct {
	kind    string
	maxSize int
	issue   func(root secret.Root, cfg Config, clientText string) (string, error) // with a text of any length
	parse   func(root secret.Root, cfg Config, raw string) error
	// wrong are claims that are refused.
	wrong map[string]any
}

var (
	stepAccount = uuid.MustParse("3f2504e0-4f89-41d3-9a0c-0305e82c3301")
	stepDigest  = []byte("digest of a hash")
)

func steps() []step {
	ids := map[string]any{
		"sub upper case": "3F2504E0-4F89-41D3-9A0C-0305E82C3301", "sub braces": "{3f2504e0-4f89-41d3-9a0c-0305e82c3301}", "sub zero": uuid.Nil.String(),
		"sub array": []string{stepAccount.String()}, "sub number": 1,
	}
	ticket, ceremony := map[string]any{"sub missing": remove, "sub empty": "", "pwd missing": remove, "pwd empty": "", "pwd number": 7}, map[string]any{
		"purpose missing": remove, "purpose other": CeremonyRegistration, "sid upper case": "3F2504E0-4F89-41D3-9A0C-0305E82C3301", "data number": 7,
	}
	for name, value := range ids {
		ticket[name], ceremony[name] = value, value
	}
	return []step{
		{"ticket", maxTicket, func(root secret.Root, cfg Config, clientText string) (string, error) {
			t, err := NewTickets(root, cfg)
			if err != nil {
				return "", err
			}
			return t.Issue(Ticket{AccountID: stepAccount, PasswordDigest: stepDigest, ClientID: "web", Platform: clientText})
		}, func(root secret.Root, cfg Config, raw string) error {
			t, err := NewTickets(root, cfg)
			if err != nil {
				return err
			}
			got, err := t.Parse(raw)
			if err != nil && !reflect.DeepEqual(got, Ticket{}) {
				return errors.New("claims of a refused ticket")
			}
			return err
		}, ticket},
		{"ceremony", maxCeremony, func(root secret.Root, cfg Config, clientText string) (string, error) {
			c, err := NewCeremonies(root, cfg)
			if err != nil {
				return "", err
			}
			data, err := json.Marshal(clientText)
			if err != nil {
				return "", err
			}
			return c.Issue(Ceremony{Purpose: CeremonyLogIn, AccountID: stepAccount, Data: data})
		}, func(root secret.Root, cfg Config, raw string) error {
			c, err := NewCeremonies(root, cfg)
			if err != nil {
				return err
			}
			got, err := c.Parse(raw, CeremonyLogIn)
			if err != nil && !reflect.DeepEqual(got, Ceremony{}) {
				return errors.New("claims of a refused ceremony")
			}
			return err
		}, ceremony},
	}
}

// TestTicket checks the header and the claims of a ticket.
func TestTicket(t *testing.T) {
	t.Parallel()
	c, root := fakeclock.New(start), newRoot(t)
	tickets, err := NewTickets(root, newConfig(c))
	if err != nil {
		t.Fatal(err)
	}
	want := Ticket{AccountID: uuid.New(), PasswordDigest: stepDigest, ClientID: `we"b <1>`, Platform: strings.Repeat("😀", 128)}
	raw, err := tickets.Issue(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tickets.Parse(raw); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	longest := Ticket{AccountID: uuid.New(), PasswordDigest: make([]byte, 32), ClientID: strings.Repeat("<", 64), Platform: strings.Repeat("<", 128)}
	if raw, err := tickets.Issue(longest); err != nil || len(raw) > maxTicket {
		t.Errorf("the longest ticket has %d bytes, %v", len(raw), err)
	}
	wantStep(t, raw, map[string]any{"typ": "ticket+jwt", "alg": "HS256"}, issuer+"/ticket", c.Now())
}

// TestCeremony checks the header and the claims of a ceremony, with and without an account and a session.
func TestCeremony(t *testing.T) {
	t.Parallel()
	c, root := fakeclock.New(start), newRoot(t)
	ceremonies, err := NewCeremonies(root, newConfig(c))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Ceremony{
		{Purpose: CeremonyLogIn, Data: json.RawMessage(`{"challenge":"x"}`)},
		{Purpose: CeremonySecondFactor, AccountID: uuid.New(), Data: json.RawMessage(`{}`)},
		{Purpose: CeremonyRegistration, AccountID: uuid.New(), SessionID: uuid.New(), Data: json.RawMessage(`[1]`)},
	} {
		raw, err := ceremonies.Issue(want)
		if err != nil {
			t.Fatal(err)
		}
		want.ExpiresAt = c.Now().Truncate(time.Second).Add(StepTTL)
		if got, err := ceremonies.Parse(raw, want.Purpose); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		for _, purpose := range []string{CeremonyLogIn, CeremonySecondFactor, CeremonyRegistration, ""} {
			if _, err := ceremonies.Parse(raw, purpose); purpose != want.Purpose && !errors.Is(err, ErrInvalid) {
				t.Errorf("a ceremony for %s is accepted for %q: %v", want.Purpose, purpose, err)
			}
		}
		wantStep(t, raw, map[string]any{"typ": "ceremony+jwt", "alg": "HS256"}, issuer+"/ceremony", c.Now())
	}
}

// wantStep checks the header and the common claims.
func wantStep(t *testing.T, raw string, wantHead map[string]any, wantAudience string, now time.Time) {
	t.Helper()
	parts := strings.Split(raw, ".")
	var head, body map[string]any
	if err := errors.Join(json.Unmarshal(decode(t, parts[0]), &head), json.Unmarshal(decode(t, parts[1]), &body)); err != nil {
		t.Fatal(err)
	}
	iat := float64(now.Unix())
	if !reflect.DeepEqual(head, wantHead) || body["iss"] != issuer || body["aud"] != wantAudience || body["iat"] != iat || body["exp"] != iat+StepTTL.Seconds() {
		t.Errorf("header %v, claims %v", head, body)
	}
}

// TestStepsRefuse checks that tokens with another header, key, claim or spelling are refused, and so are long and expired ones.
func TestStepsRefuse(t *testing.T) {
	t.Parallel()
	for _, k := range steps() {
		t.Run(k.kind, func(t *testing.T) {
			t.Parallel()
			c, root := fakeclock.New(start), newRoot(t)
			cfg := newConfig(c)
			good, err := k.issue(root, cfg, "x")
			if err != nil {
				t.Fatal(err)
			}
			if err := k.parse(root, cfg, good); err != nil {
				t.Fatal(err)
			}
			for name, raw := range refusedSteps(t, k, root, cfg, good) {
				if err := k.parse(root, cfg, raw); !errors.Is(err, ErrInvalid) {
					t.Errorf("%s: %v", name, err)
				}
			}
			long, err := k.issue(root, cfg, strings.Repeat("x", k.maxSize))
			if err != nil {
				t.Fatal(err)
			}
			if err := k.parse(root, cfg, long); !errors.Is(err, ErrInvalid) {
				t.Errorf("%d bytes: %v", len(long), err)
			}
			c.Advance(StepTTL + leeway - time.Second)
			if err := k.parse(root, cfg, good); err != nil {
				t.Errorf("just before the end: %v", err)
			}
			c.Advance(time.Second)
			if err := k.parse(root, cfg, good); !errors.Is(err, ErrInvalid) {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func refusedSteps(t *testing.T, k step, root secret.Root, cfg Config, good string) map[string]string {
	t.Helper()
	parts := strings.Split(good, ".")
	var head, claims map[string]any
	if err := errors.Join(json.Unmarshal(decode(t, parts[0]), &head), json.Unmarshal(decode(t, parts[1]), &claims)); err != nil {
		t.Fatal(err)
	}
	key, valid := root.Key(k.kind), text(t, claims)
	forged := func(head, claims any) string {
		return forge(t, jwt.SigningMethodHS256, key, text(t, head), text(t, claims))
	}
	if err := k.parse(root, cfg, forged(head, claims)); err != nil {
		t.Fatalf("the forgeries are not signed well: %v", err)
	}
	other, err := k.issue(newRoot(t), cfg, "x")
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		"empty": "", "dots": strings.Repeat(".", 100), "no signature": parts[0] + "." + parts[1] + ".", "four parts": good + ".x", "newline": good + "\n",
		"cut": good[:len(good)-1], "tail bits": good[:len(good)-1] + nextLetter(good[len(good)-1]), "another secret": other,
		"typ missing": forged(with(head, "typ", remove), claims), "typ JWT": forged(with(head, "typ", "JWT"), claims),
		"typ access": forged(with(head, "typ", "at+jwt"), claims), "typ refresh": forged(with(head, "typ", "rt+jwt"), claims),
		"alg none":    encode(text(t, with(head, "alg", "none"))) + "." + parts[1] + ".",
		"alg HS384":   forge(t, jwt.SigningMethodHS384, key, text(t, with(head, "alg", "HS384")), valid),
		"kid":         forged(with(head, "kid", "x"), claims),
		"crit":        forged(with(head, "crit", []string{}), claims),
		"empty key":   forge(t, jwt.SigningMethodHS256, []byte{}, text(t, head), valid),
		"refresh key": forge(t, jwt.SigningMethodHS256, root.Key(refreshPurpose), text(t, head), valid),
		"iss other":   forged(head, with(claims, "iss", "https://evil.example")),
		"aud missing": forged(head, with(claims, "aud", remove)), "aud of access": forged(head, with(claims, "aud", audience)),
		"aud of refresh": forged(head, with(claims, "aud", cfg.refreshAudience())),
		"exp missing":    forged(head, with(claims, "exp", remove)), "exp string": forged(head, with(claims, "exp", "9999999999")),
		"null": forged(head, "null"), "array": forged(head, "["+valid+"]"), "trailing data": forged(head, valid+" x"),
		"claim twice":       forged(head, strings.Replace(valid, `"sub":`, `"sub":"x","sub":`, 1)),
		"claim in capitals": forged(head, strings.Replace(valid, `"sub":`, `"Sub":"x","sub":"x","SUB":`, 1)),
	}
	for _, another := range steps() {
		if another.kind == k.kind {
			continue
		}
		raw, err := another.issue(root, cfg, "x")
		if err != nil {
			t.Fatal(err)
		}
		refused["a "+another.kind] = raw
		refused["claims of a "+another.kind+", signed as a "+k.kind] = forge(t, jwt.SigningMethodHS256, key, text(t, head), string(decode(t, strings.Split(raw, ".")[1])))
		refused["signed with the key of a "+another.kind] = forge(t, jwt.SigningMethodHS256, root.Key(another.kind), text(t, head), valid)
	}
	for name, value := range k.wrong {
		claim, _, _ := strings.Cut(name, " ")
		refused[name] = forged(head, with(claims, claim, value))
	}
	return refused
}

// TestStepsAcceptBothSecrets checks that a change of the secret interrupts no login: a replica with either secret accepts the tokens of the other.
func TestStepsAcceptBothSecrets(t *testing.T) {
	t.Parallel()
	old, next := newRoot(t), newRoot(t)
	cfg := newConfig(fakeclock.New(start))
	for _, k := range steps() {
		for name, c := range map[string]struct {
			issuer, parser secret.Root
			accepted       bool
		}{
			"a replica with the new secret": {old, next.Accepting(old), true},
			"a replica with the old secret": {next.Accepting(old), old.Accepting(next), true},
			"after the change":              {old, next, false},
		} {
			raw, err := k.issue(c.issuer, cfg, "x")
			if err != nil {
				t.Fatal(err)
			}
			if err := k.parse(c.parser, cfg, raw); (err == nil) != c.accepted || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("a %s, %s: %v", k.kind, name, err)
			}
		}
	}
}
