package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

func kidOf(t *testing.T, token string) string {
	t.Helper()
	kid, _ := part(t, token, 0)["kid"].(string)
	return kid
}

// part decodes the header (0) or the claims (1) of a JWT.
func part(t *testing.T, token string, n int) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEverySecretHasOnePurpose expects each token, key, code and password to be accepted only for its own purpose.
func TestEverySecretHasOnePurpose(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s, other := harness.Start(t, binary, contract, engine), harness.Start(t, binary, contract, harness.SQLite)
		code := s.Invite(t, 7)
		p := newPerson(t, s).join(code)
		p.login()
		choosing, moved := newPerson(t, s), newPerson(t, s).join(code)
		choosing.want("sign up", choosing.signUpToChoose(code).StatusCode(), 204)
		moved.login()
		undo := moved.changeEmail(newPerson(t, s).email, true)
		unused := newPerson(t, s).join(code)
		linked := newPerson(t, s)
		linked.want("sign up", linked.signUp(code).StatusCode(), 204)
		stranger := newPerson(t, other).join(other.Invite(t, 1))
		stranger.login()
		// Two users with a second factor: one logs in with a code, the other with a passkey.
		coded, keyed := newPerson(t, s).join(code), newPerson(t, s).join(code)
		coded.login()
		keyed.login()
		app, recoveryCodes := coded.setUpTOTP()
		s.ForgetTOTPSteps(t, app)
		ticket := coded.wantTicket(coded.password, client.SecondFactorMethodTotp, client.SecondFactorMethodRecoveryCode)
		passkey, added := keyed.tryAddPasskey("laptop", nil)
		keyed.want("add a passkey", added.StatusCode(), 201)
		passkeyLogin := keyed.passkeyLogin(passkey)
		registration := keyed.api().BeginPasskey(keyed.session.AccessToken)
		keyed.want("begin to add a passkey", registration.StatusCode(), 200)

		list := func(path string) func(string) int {
			return func(key string) int {
				header := http.Header{"Request-Id": {rid()}, "Authorization": {"Bearer " + key}}
				response, _ := send(t, s, http.MethodGet, path, header, "")
				return response.StatusCode
			}
		}
		signUp := func(key string) int { return newPerson(t, s).signUp(key).StatusCode() }
		type doorway struct {
			name  string
			try   func(key string) int
			fits  string
			opens int
		}
		doors := []doorway{
			{"session list", list("/v1/session/list"), "access token", 200},
			{"verify", list("/v1/oauth/verify"), "access token", 204},
			{"refresh", func(key string) int { return p.tryRefresh(key).StatusCode() }, "refresh token", 200},
			{"link", func(key string) int {
				return p.open(&url.URL{Path: "/u/" + key, RawQuery: "rid=" + rid()}).StatusCode
			}, "link key", 200},
			{"page of a link", func(key string) int {
				return p.open(&url.URL{Path: "/l/" + key, RawQuery: "rid=" + rid()}).StatusCode
			}, "page link key", 200},
			{"use of a link with a password", func(key string) int {
				return p.choose(&url.URL{Path: "/l/" + key, RawQuery: "rid=" + rid()}, chosenPassword).StatusCode()
			}, "page link key", 200},
			{"use of a link without a password", func(key string) int {
				status, _ := p.use(&url.URL{Path: "/l/" + key, RawQuery: "rid=" + rid()}, "")
				return status
			}, "undo link key", 200},
			{"step-up", func(key string) int { return p.api().StepUp(p.session.AccessToken, key).StatusCode() }, "own password", 200},
			{"invite code", signUp, "invite code", 409}, // exists, but has ended
			{"second step of a login", func(key string) int { return coded.byCode(key, app.Code(t, 0)).StatusCode() }, "ticket", 200},
			{"login by a passkey", func(key string) int {
				request := passkeyLogin
				request.Ceremony = key
				return keyed.api().PasskeyLogin(request).StatusCode()
			}, "ceremony", 200},
			{"password", func(key string) int { return unused.tryLogin(key).StatusCode() }, "mailed password", 200},
		}
		keys := map[string]string{
			"access token":                   p.session.AccessToken,
			"refresh token":                  p.session.RefreshToken,
			"link key":                       keyOf(linked.mail().Link(t)),
			"page link key":                  keyOf(choosing.mail().Link(t)),
			"undo link key":                  keyOf(undo),
			"own password":                   p.password,
			"invite code":                    code,
			"ticket":                         ticket,
			"ceremony":                       passkeyLogin.Ceremony,
			"ceremony of a registration":     registration.JSON200.Ceremony,
			"recovery code":                  recoveryCodes[0],
			"mailed password":                unused.password,
			"another person's session":       p.session.SessionID,
			"access token of another place":  stranger.session.AccessToken,
			"refresh token of another place": stranger.session.RefreshToken,
		}
		noMailWaits(t, s)
		before := s.Snapshot(t)
		for _, door := range doors {
			for name, key := range keys {
				if name == door.fits || door.name == "page of a link" && name == "undo link key" { // its own page: looking changes nothing
					continue
				}
				if status := door.try(key); status != 400 && status != 401 && status != 403 && status != 404 {
					t.Errorf("the %s at the door %s: %d", name, door.name, status)
				}
			}
		}
		if after := s.Snapshot(t); withoutLimits(after) != withoutLimits(before) {
			t.Error("something changed")
		}
		for _, door := range doors {
			if status := door.try(keys[door.fits]); status != door.opens {
				t.Errorf("the %s at its own door, %s: %d, want %d", door.fits, door.name, status, door.opens)
			}
		}
	})
}

// withoutLimits removes the counts of refused attempts, which change, from a snapshot.
func withoutLimits(snapshot string) string {
	var kept []string
	for line := range strings.SplitSeq(snapshot, "\n") {
		if !strings.HasPrefix(line, "limit") && !strings.HasPrefix(line, "rate") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// countCalls listens on a URL; calls returns the number of connections to it.
func countCalls(t *testing.T) (address string, calls func() int64) {
	t.Helper()
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	var count atomic.Int64
	go func() {
		for {
			c, err := sink.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			_ = c.Close()
		}
	}()
	return "http://" + sink.Addr().String(), count.Load
}

// TestForgedTokens expects the same response to every forged token, and that no URL in it is requested.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	evil, calls := countCalls(t)

	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := mine.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	good := part(t, p.session.AccessToken, 0)
	claims := part(t, p.session.AccessToken, 1)
	forge := func(header map[string]any) string {
		token := &jwt.Token{Method: jwt.SigningMethodES256, Header: maps.Clone(good), Claims: jwt.MapClaims(claims)}
		maps.Copy(token.Header, header)
		signed, err := token.SignedString(mine)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	parts := strings.Split(p.session.AccessToken, ".")
	tokens := map[string]string{
		"our kid, another key": forge(nil),
		"unknown kid":          forge(map[string]any{"kid": strings.Repeat("A", 43)}),
		"jku":                  forge(map[string]any{"jku": evil + "/jwks.json"}),
		"x5u":                  forge(map[string]any{"x5u": evil + "/x.pem"}),
		"jku, unknown kid":     forge(map[string]any{"jku": evil + "/jwks.json", "kid": strings.Repeat("A", 43)}),
		"jwk":                  forge(map[string]any{"jwk": jwk}),
		"x5c":                  forge(map[string]any{"x5c": []string{"MIIB"}}),
		"kid is a URL":         forge(map[string]any{"kid": evil + "/key"}),
		"kid is a path":        forge(map[string]any{"kid": "../../dev/null"}),
		"kid is SQL":           forge(map[string]any{"kid": "' OR 1=1--"}),
		"crit":                 forge(map[string]any{"crit": []string{"exp"}}),
		"alg none":             b64([]byte(`{"alg":"none","typ":"at+jwt","kid":"`+kidOf(t, p.session.AccessToken)+`"}`)) + "." + parts[1] + ".",
		"no signature":         parts[0] + "." + parts[1] + ".",
		"empty":                "..",
		"dots":                 strings.Repeat(".", 7000),
		"JSON":                 `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"refresh token":        p.session.RefreshToken,
	}
	var answer string
	for name, token := range tokens {
		for _, path := range []string{"/v1/session/list", "/v1/oauth/verify"} {
			request := http.Header{"Request-Id": {"forged-token-1"}, "Authorization": {"Bearer " + token}}
			began := time.Now()
			response, body := send(t, s, http.MethodGet, path, request, "")
			response.Header.Del("Date")
			said, err := json.Marshal([]any{response.StatusCode, response.Header, body})
			if err != nil {
				t.Fatal(err)
			}
			if answer == "" {
				answer = string(said)
			}
			if response.StatusCode != 401 || response.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` || string(said) != answer {
				t.Errorf("%s at %s:\n%s\nother ones got\n%s", name, path, said, answer)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s at %s took %s", name, path, took)
			}
		}
	}
	if n := calls(); n > 0 {
		t.Errorf("%d calls to where the tokens pointed", n)
	}
	p.sessions()
}
