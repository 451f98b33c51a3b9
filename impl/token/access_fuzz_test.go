package token

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzAccessVerify checks that of all texts only one token is accepted.
func FuzzAccessVerify(f *testing.F) {
	b := newFixture(f, ES256)
	good := b.sign(f)
	p := strings.Split(good, ".")
	for _, seed := range []string{good, good[:len(good)-1], p[0] + "." + p[1] + ".", "..", "a.b.c", good + ".", "bnVsbA.bnVsbA.AA", p[0] + ".bnVsbA." + p[2], ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if claims, err := b.access.Verify(t.Context(), token); (err == nil) != (token == good) || (err != nil && !errors.Is(err, ErrInvalid)) {
			t.Fatalf("%q: %+v, %v", token, claims, err)
		}
	})
}

// FuzzAccessClaims signs any header and claims with the real key, to test the checks other than the signature.
func FuzzAccessClaims(f *testing.F) {
	b := newFixture(f, EdDSA)
	head, body := text(f, b.head()), text(f, b.claims())
	f.Add(head, body)
	f.Add(head, "null")
	f.Add("null", body)
	f.Add(head, body[:len(body)-1]+`,"nbf":1e400}`)
	f.Add(head, body[:len(body)-1]+`,"EXP":1}`)
	f.Add(head, body[:len(body)-1]+`,"exp":1}`)
	f.Add(head[:len(head)-1]+`,"crit":[]}`, body)
	f.Fuzz(func(t *testing.T, head, body string) {
		claims, err := b.access.Verify(t.Context(), b.forge(t, head, body))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		var h map[string]string
		if err := json.Unmarshal([]byte(head), &h); err != nil || h["alg"] != EdDSA || h["kid"] != b.keys.signing().id || !strings.HasSuffix(h["typ"], "at+jwt") {
			t.Fatalf("header %q: %v", head, err)
		}
		var c map[string]any
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatalf("claims %q: %v", body, err)
		}
		if c["iss"] != issuer || c["aud"] != audience || c["sub"] != claims.AccountID.String() || c["sid"] != claims.SessionID.String() ||
			claims.ExpiresAt.Add(leeway).Before(b.clock.Now()) || claims.IssuedAt.After(b.clock.Now().Add(leeway)) {
			t.Fatalf("claims %q -> %+v", body, claims)
		}
	})
}
