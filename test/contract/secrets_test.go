package contract

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/harness"
)

// TestNoSecretAtRest searches the database, the logs and the mail queue after the whole journey: they contain no password, link
// key, refresh or access token, AUTH_SECRET or private key.
func TestNoSecretAtRest(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LOG_LEVEL=debug")
		code := s.Invite(t, 4)
		p := newPerson(t, s)
		walk(t, s, p, code)
		p.tryLogin("a-wrong-password-of-mine")
		waiting := newPerson(t, s)
		waiting.want("sign up", waiting.signUp(code).StatusCode(), 204)

		canaries := map[string]string{
			"invite code":    code,
			"wrong password": "a-wrong-password-of-mine",
			"access token":   p.session.AccessToken,
			"refresh token":  p.session.RefreshToken,
			"PKCS #8 key":    "PRIVATE KEY",
		}
		chooser := newPerson(t, s)
		maps.Copy(canaries, walkPageLinks(t, s, chooser, code))
		maps.Copy(canaries, walkTOTP(t, newPerson(t, s).join(code)))
		signature := func(token string) string { return token[strings.LastIndex(token, ".")+1:] }
		canaries["access token's signature"] = signature(p.session.AccessToken)
		canaries["refresh token's signature"] = signature(p.session.RefreshToken)
		awaitMails(t, s)
		waiting.mail()
		for _, m := range s.Mails(t) {
			if harness.FindLink(m.Text) != "" {
				canaries["key of "+m.Subject+" "+m.ID] = keyOf(m.Link(t))
			}
			if password := harness.FindPassword(m.Text); password != "" {
				canaries["password of "+m.ID] = password
				canaries["password of "+m.ID+" without hyphens"] = strings.ReplaceAll(password, "-", "")
			}
		}
		canaries["AUTH_SECRET"] = s.Secret(t)
		root, err := secret.Parse(s.Secret(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, purpose := range []string{"signing-key", "link-key", "refresh-token", "mailed-password", "invite-code", "totp-secret", "ticket", "ceremony"} {
			canaries["key for "+purpose] = string(root.Key(purpose))
		}

		der, private := signingKey(t, s, root)
		canaries["private key"], canaries["private key's number"] = string(der), string(private)
		canaries["private key in base64"] = base64.RawStdEncoding.EncodeToString(private)
		canaries["private key in base64url"] = base64.RawURLEncoding.EncodeToString(private)
		canaries["private key in hex"] = hex.EncodeToString(private)

		places := map[string]string{"log": s.Log(), "database rows": s.Snapshot(t)}
		if engine == harness.SQLite {
			for _, suffix := range []string{"", "-wal"} {
				content, err := os.ReadFile(filepath.Join(s.Dir, "data", "auth.db"+suffix))
				if err != nil {
					t.Fatal(err)
				}
				places["auth.db"+suffix] = string(content)
			}
		}
		if len(canaries) < 70 {
			t.Fatalf("only %d canaries", len(canaries))
		}
		for place, content := range places {
			if !strings.Contains(content, p.email) && place == "database rows" {
				t.Errorf("%s does not even have the address: the search would find nothing", place)
			}
			for what, canary := range canaries {
				if strings.Contains(content, canary) {
					t.Errorf("the %s can be read in the %s", what, place)
				}
			}
		}
		for _, logged := range []string{"request.failed", "link.refused", "password.refused", "email.asked", "session.step_up_refused", "factor.failed"} {
			if !strings.Contains(s.Log(), logged) {
				t.Errorf("the log has no %s: the search for secrets would miss it", logged)
			}
		}
		for _, address := range regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+`).FindAllString(s.Log(), -1) {
			t.Errorf("the log has the address %s", address)
		}
	})
}

// signingKey decrypts the service's signing key with its secret, and returns it in PKCS #8 and its private number.
func signingKey(t *testing.T, s *harness.Service, root secret.Root) (der, private []byte) {
	t.Helper()
	var id, algorithm string
	var sealed []byte
	s.Look(t, func(db *sql.DB) {
		if err := db.QueryRowContext(t.Context(), "SELECT id, algorithm, sealed FROM signing_key").Scan(&id, &algorithm, &sealed); err != nil {
			t.Fatal(err)
		}
	})
	block, err := aes.NewCipher(root.Key("signing-key"))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := aead.NonceSize()
	if der, err = aead.Open(nil, sealed[:nonce], sealed[nonce:], []byte(id+" "+algorithm)); err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	if private, err = key.(*ecdsa.PrivateKey).Bytes(); err != nil {
		t.Fatal(err)
	}
	return der, private
}

// keyOf returns the key of a mailed link.
func keyOf(link *url.URL) string {
	return strings.TrimPrefix(strings.TrimPrefix(link.Path, "/u/"), "/l/")
}

// walkPageLinks walks through everything that a link of /l/ is for, with all failures, and leaves one unused link of each kind. It returns the
// passwords that were sent; the keys are in the mails.
func walkPageLinks(t *testing.T, s *harness.Service, p *person, code string) map[string]string {
	t.Helper()
	passwords := map[string]string{
		"short password": "zebra horn", "repeated field": "a password that was sent twice", "broken body": "a password in a body that breaks off",
		"chosen password": "grey zebras in the fog", "password of a failure": "a password for a link of the future",
		"password of a used link": "a password that comes too late", "wrong proof": "a proof that proves nothing",
	}
	send := func(method string, link *url.URL, contentType, body string, want int) {
		t.Helper()
		header := http.Header{"Content-Type": {contentType}, "Referer": {"https://auth.example.test" + link.RequestURI()}, "Cookie": {"key=" + keyOf(link)}}
		response, _ := send(t, s, method, link.RequestURI(), header, body)
		wantStatus(t, method+" "+body, response.StatusCode, want)
	}
	form := func(what string) string { return url.Values{"newPassword": {passwords[what]}}.Encode() }
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"

	p.want("sign up", p.signUpToChoose(code).StatusCode(), 204)
	link := p.mail().Link(t)
	other := &url.URL{Path: "/u/" + keyOf(link), RawQuery: link.RawQuery}
	send(http.MethodGet, link, formType, "", 200)
	send(http.MethodGet, other, formType, "", 404)
	send(http.MethodPost, link, formType, form("short password"), 422)
	send(http.MethodPost, link, formType, form("repeated field")+"&"+form("repeated field"), 400)
	send(http.MethodPost, link, jsonType, `{"newPassword":"`+passwords["broken body"], 400)
	send(http.MethodPost, link, jsonType, `{"`+passwords["broken body"]+`":1}`, 400)
	send(http.MethodPut, link, formType, form("chosen password"), 405)
	s.Exec(t, "UPDATE link SET purpose = 'of_the_future'")
	send(http.MethodGet, link, formType, "", 500)
	send(http.MethodPost, link, formType, "", 500)
	send(http.MethodPost, link, formType, form("password of a failure"), 400)
	s.Exec(t, "UPDATE link SET purpose = 'signup'")
	send(http.MethodPost, link, formType, form("chosen password"), 200)
	send(http.MethodPost, link, formType, form("password of a used link"), 404)

	p.password = passwords["chosen password"]
	p.login()
	p.want("step up with a wrong proof", p.api().StepUp(p.session.AccessToken, passwords["wrong proof"]).StatusCode(), 403)
	p.want("step up", p.api().StepUp(p.session.AccessToken, p.password).StatusCode(), 200)
	p.changeEmail(newPerson(t, s).email, true)
	p.requestEmail(newPerson(t, s).email)
	p.want("reset", p.api().ResetToChoose(p.email).StatusCode(), 204)
	return passwords
}
