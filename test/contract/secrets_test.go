package contract

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
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
		s := harness.Start(t, binary, contract, engine)
		code := s.Invite(t, 2)
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
		signature := func(token string) string { return token[strings.LastIndex(token, ".")+1:] }
		canaries["access token's signature"] = signature(p.session.AccessToken)
		canaries["refresh token's signature"] = signature(p.session.RefreshToken)
		for _, m := range append(s.WaitMails(t, p.email, p.mails), waiting.mail()) {
			switch {
			case linkLineOf(m) != "":
				canaries["key of "+m.Subject+" "+m.ID] = strings.TrimPrefix(m.Link(t).Path, "/u/")
			default:
				canaries["password of "+m.ID] = m.Password(t)
				canaries["password of "+m.ID+" without hyphens"] = strings.ReplaceAll(m.Password(t), "-", "")
			}
		}
		canaries["AUTH_SECRET"] = s.Secret(t)
		root, err := secret.Parse(s.Secret(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, purpose := range []string{"signing-key", "link-key", "refresh-token", "mailed-password", "invite-code"} {
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
		if len(canaries) < 15 {
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
		if strings.Contains(s.Log(), p.email) {
			t.Error("the log has the person's address")
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

func linkLineOf(m harness.Mail) string {
	return regexp.MustCompile(`(?m)^https?://\S+/u/\S+$`).FindString(m.Text)
}
