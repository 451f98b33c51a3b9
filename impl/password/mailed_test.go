package password

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/secret"
)

func newRoot(t *testing.T) secret.Root {
	t.Helper()
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestMailed(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	form := regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){6}$`)
	seen := map[string]bool{}
	letters := map[rune]int{}
	for range 2000 {
		nonce := NewNonce(root)
		p := mustMail(t, root, nonce)
		switch {
		case len(nonce) != 24:
			t.Fatalf("nonce of %d bytes", len(nonce))
		case !form.MatchString(p):
			t.Fatalf("got %s", p)
		case seen[p]:
			t.Fatal("a duplicate password")
		case p != mustMail(t, root, nonce):
			t.Fatal("not a function of the nonce")
		case mustMail(t, root, nonce[:16]) == mustMail(t, newRoot(t), nonce[:16]):
			t.Fatal("two secrets derive the same password")
		}
		seen[p] = true
		for _, r := range strings.ReplaceAll(p, "-", "") {
			letters[r]++
		}
	}
	// 56,000 letters, 1,750 expected of each; 290 off would be seven standard deviations.
	for _, r := range crockford {
		if n := letters[r]; n < 1460 || n > 2040 {
			t.Errorf("%c occurred %d times", r, n)
		}
	}
}

// A mail that is sent again after an upgrade must contain the same password.
func TestMailedIsStable(t *testing.T) {
	t.Parallel()
	root, err := secret.Parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	const want = "1b27-vajk-rj2y-q46z-0e4x-kqk7-ab81"
	if got := mustMail(t, root, bytes.Repeat([]byte{1}, 16)); got != want {
		t.Errorf("got %s", got)
	}
	withFingerprint := append(bytes.Repeat([]byte{1}, 16), 0x98, 0x3e, 0x4b, 0x7d, 0xdc, 0xa0, 0x0c, 0x0b)
	if got := mustMail(t, root, withFingerprint); got != "jx4s-28qc-cre9-5ww4-msrt-3wn0-23mw" {
		t.Errorf("with a fingerprint: got %s", got)
	}
}

// An attempt after a change of the secret mails the same password as an attempt before, which may have set it as the pending password.
func TestMailedAfterAChangeOfTheSecret(t *testing.T) {
	t.Parallel()
	before, after := newRoot(t), newRoot(t)
	nonce := NewNonce(before)
	want := mustMail(t, before, nonce)
	if mustMail(t, after.Accepting(before), nonce) != want || mustMail(t, before.Accepting(after), nonce) != want {
		t.Error("another password")
	}
	current := NewNonce(after.Accepting(before))
	if mustMail(t, after, current) != mustMail(t, after.Accepting(before), current) {
		t.Error("a new password is not derived from the new secret")
	}
	for name, nonce := range map[string][]byte{
		"without the old secret": nonce, "cut": current[:23], "longer": append(bytes.Clone(current), 0), "empty": nil,
		"another fingerprint": append(bytes.Clone(current[:23]), current[23]^1),
	} {
		if got, err := Mailed(after, nonce); !errors.Is(err, ErrForeignSecret) || got != "" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func mustMail(t *testing.T, root secret.Root, nonce []byte) string {
	t.Helper()
	p, err := Mailed(root, nonce)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
