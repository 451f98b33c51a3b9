package password

import (
	"bytes"
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
		nonce := NewNonce()
		p := Mailed(root, nonce)
		switch {
		case len(nonce) != 16:
			t.Fatalf("nonce of %d bytes", len(nonce))
		case !form.MatchString(p):
			t.Fatalf("got %s", p)
		case seen[p]:
			t.Fatal("a password came twice")
		case p != Mailed(root, nonce):
			t.Fatal("not a function of the nonce")
		case p == Mailed(newRoot(t), nonce):
			t.Fatal("two secrets share a password")
		}
		seen[p] = true
		for _, r := range strings.ReplaceAll(p, "-", "") {
			letters[r]++
		}
	}
	// 56,000 letters, 1,750 expected of each; 290 off would be seven standard deviations.
	for _, r := range crockford {
		if n := letters[r]; n < 1460 || n > 2040 {
			t.Errorf("%c came %d times", r, n)
		}
	}
}

// A mail that is sent again after an upgrade must carry the same password.
func TestMailedIsFrozen(t *testing.T) {
	t.Parallel()
	root, err := secret.Parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	const want = "1b27-vajk-rj2y-q46z-0e4x-kqk7-ab81"
	if got := Mailed(root, bytes.Repeat([]byte{1}, 16)); got != want {
		t.Errorf("got %s", got)
	}
}
