package link_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/secret"
)

func newKeys(t testing.TB) link.Keys {
	t.Helper()
	return link.New(newSecret(t))
}

func newSecret(t testing.TB) secret.Root {
	t.Helper()
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestKey(t *testing.T) {
	t.Parallel()
	keys := newKeys(t)
	seen := map[string]bool{}
	for range 1000 {
		id := uuid.New()
		key := keys.Key(id)
		hash, ok := link.Hash(key)
		want := sha256.Sum256([]byte(key))
		switch {
		case len(key) != 43:
			t.Fatalf("key has %d characters", len(key))
		case seen[key]:
			t.Fatal("a duplicate key")
		case key != keys.Key(id):
			t.Fatal("a key is not a function of its ID")
		case !ok || !bytes.Equal(hash, want[:]):
			t.Fatal("its hash is not SHA-256")
		case newKeys(t).Key(id) == key:
			t.Fatal("two secrets derive the same key")
		}
		seen[key] = true
	}
}

// The keys of mailed links must stay the same after an upgrade.
func TestKeyIsStable(t *testing.T) {
	t.Parallel()
	root, err := secret.Parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	const want = "TFSEYir3LBMpgg_Jj57X6rAO3AHhO_TlJBtvvdMI1tw"
	if got := link.New(root).Key(uuid.MustParse("3f2504e0-4f89-41d3-9a0c-0305e82c3301")); got != want {
		t.Errorf("got %s", got)
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	keys, id := newKeys(t), uuid.New()
	for _, base := range []string{"https://auth.example.com", "https://auth.example.com/", "http://localhost:8080/base"} {
		for _, rid := range []string{"abcdef-123", "a+b/c=d:e@f.g", "a b&c=d#e?f\r\nX: y", ""} {
			got := link.URL(base, keys.Key(id), rid)
			parsed, err := url.Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Query().Get("rid") != rid || len(parsed.Query()) != 1 || parsed.Fragment != "" {
				t.Errorf("%q: the rid %q is not in %s", base, rid, got)
			}
			if want := strings.TrimSuffix(base, "/") + "/u/" + keys.Key(id) + "?rid="; !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want it to begin with %s", got, want)
			}
		}
	}
}

// The service recognizes the keys that it issued, under each of its secrets, and no others.
func TestMade(t *testing.T) {
	t.Parallel()
	before, after := newSecret(t), newSecret(t)
	old, current := link.New(before).Key(uuid.New()), link.New(after).Key(uuid.New())
	both := link.New(after.Accepting(before))
	for name, issued := range map[string]bool{
		"of its secret": both.Issued(current), "of the secret before": both.Issued(old), "of its only secret": link.New(after).Issued(current),
	} {
		if !issued {
			t.Errorf("a key %s is not recognized", name)
		}
	}
	flipped := []byte(current)
	for i := range flipped[:42] { // the last character has unused bits
		flipped[i] ^= 1
		if text := string(flipped); both.Issued(text) {
			t.Errorf("%s is recognized as %s", text, current)
		}
		flipped[i] ^= 1
	}
	for _, guess := range []string{"", strings.Repeat("A", 43), current[:42], current + "A", old[:21] + current[21:]} {
		if both.Issued(guess) || link.New(after).Issued(old) {
			t.Errorf("%q is recognized as issued", guess)
		}
	}
}

// A link ends with a letter or digit, whatever the request ID ends with, and still contains the same request ID.
func TestURLEndsWithALetterOrDigit(t *testing.T) {
	t.Parallel()
	keys, id := newKeys(t), uuid.New()
	for _, end := range []string{".", "_", ":", "/", "+", "=", "@", "-", "~", "!", ")", "...", ".-", "a", "0", "%", "%2E"} {
		for _, begin := range []string{"abcdefg", "........"} {
			got := link.URL("https://auth.example.com", keys.Key(id), begin+end)
			if last := got[len(got)-1]; !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", rune(last)) {
				t.Errorf("%s ends with %q", got, last)
			}
			parsed, err := url.Parse(got)
			if err != nil || parsed.Query().Get("rid") != begin+end {
				t.Errorf("the rid %q is in %s, %v", parsed.Query().Get("rid"), got, err)
			}
		}
	}
}

// A link that is mailed after a change of the secret has the key whose hash was stored before.
func TestFindAfterAChangeOfTheSecret(t *testing.T) {
	t.Parallel()
	before, after, foreign := newSecret(t), newSecret(t), newSecret(t)
	id := uuid.New()
	old := link.New(before).Key(id)
	hash, _ := link.Hash(old)
	for name, root := range map[string]secret.Root{
		"the secret of the key": before, "a new secret that accepts it": after.Accepting(before), "the same, accepting a new one": before.Accepting(after),
	} {
		if got, ok := link.New(root).Find(id, hash); !ok || got != old {
			t.Errorf("%s: got %q, %t", name, got, ok)
		}
	}
	if link.New(after.Accepting(before)).Key(id) != link.New(after).Key(id) {
		t.Error("a new link is derived from the old secret")
	}
	for name, root := range map[string]secret.Root{"without the old secret": after, "with another one": after.Accepting(foreign)} {
		if got, ok := link.New(root).Find(id, hash); ok || got != "" {
			t.Errorf("%s: got %q, %t", name, got, ok)
		}
	}
	if _, ok := link.New(before).Find(uuid.New(), hash); ok {
		t.Error("found the key of another confirmation")
	}
}

func TestHashRefuses(t *testing.T) {
	t.Parallel()
	key := newKeys(t).Key(uuid.New())
	key = strings.NewReplacer("-", "A", "_", "B").Replace(key)
	for name, text := range map[string]string{
		"empty":               "",
		"blank":               " ",
		"null":                "null",
		"one short":           key[:42],
		"one long":            key + "A",
		"padded":              key + "=",
		"padded inside":       key[:42] + "=",
		"standard alphabet +": "+" + key[1:],
		"standard alphabet /": "/" + key[1:],
		"newline at the end":  key[:42] + "\n",
		"newline more":        key + "\n",
		"newline inside":      key[:20] + "\n" + key[21:],
		"carriage return":     key[:20] + "\r" + key[21:],
		"NUL":                 key[:42] + "\x00",
		"percent":             key[:40] + "%2B",
		"path":                "../" + key[3:],
		"not ASCII":           strings.Repeat("é", 21) + "A",
		"long":                strings.Repeat("A", 10_000),
		"tail bits":           key[:42] + "B",
		"twice":               key + key,
		"unicode digit":       key[:40] + "３",
	} {
		if hash, ok := link.Hash(text); ok || hash != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Keys are case-sensitive.
func TestHashIsCaseSensitive(t *testing.T) {
	t.Parallel()
	one, ok := link.Hash(strings.Repeat("a", 42) + "A")
	if !ok {
		t.Fatal("refused")
	}
	two, ok := link.Hash(strings.Repeat("A", 43))
	if !ok {
		t.Fatal("refused")
	}
	if bytes.Equal(one, two) {
		t.Error("upper and lower case have the same hash")
	}
}

func FuzzHash(f *testing.F) {
	f.Add(strings.Repeat("A", 43))
	f.Add(strings.Repeat("A", 42) + "B")
	f.Add(strings.Repeat("-_", 21) + "A")
	f.Add(strings.Repeat("A", 42) + "\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, key string) {
		hash, ok := link.Hash(key)
		if ok != (hash != nil) {
			t.Fatal("hash and ok disagree")
		}
		// An accepted text is the only encoding of its bytes.
		raw, err := base64.RawURLEncoding.DecodeString(key)
		canonical := err == nil && len(raw) == 32 && base64.RawURLEncoding.EncodeToString(raw) == key
		if ok != canonical {
			t.Fatalf("ok = %t, canonical = %t", ok, canonical)
		}
	})
}
