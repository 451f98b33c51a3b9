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
			t.Fatal("a key came twice")
		case key != keys.Key(id):
			t.Fatal("a key is not a function of its id")
		case !ok || !bytes.Equal(hash, want[:]):
			t.Fatal("its hash is not SHA-256")
		case newKeys(t).Key(id) == key:
			t.Fatal("two secrets share a key")
		}
		seen[key] = true
	}
}

// The keys of mailed links must survive an upgrade.
func TestKeyIsFrozen(t *testing.T) {
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
				t.Errorf("%q: rid %q came out of %s", base, rid, got)
			}
			if want := strings.TrimSuffix(base, "/") + "/u/" + keys.Key(id) + "?rid="; !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want it to begin with %s", got, want)
			}
		}
	}
}

// The service knows what it made, under each of its secrets, and nothing else.
func TestMade(t *testing.T) {
	t.Parallel()
	before, after := newSecret(t), newSecret(t)
	old, current := link.New(before).Key(uuid.New()), link.New(after).Key(uuid.New())
	both := link.New(after.Accepting(before))
	for name, made := range map[string]bool{
		"of its secret": both.Issued(current), "of the secret before": both.Issued(old), "of its only secret": link.New(after).Issued(current),
	} {
		if !made {
			t.Errorf("a key %s is not recognised", name)
		}
	}
	flipped := []byte(current)
	for i := range flipped[:42] { // the last character has bits that say nothing
		flipped[i] ^= 1
		if text := string(flipped); both.Issued(text) {
			t.Errorf("%s is taken for %s", text, current)
		}
		flipped[i] ^= 1
	}
	for _, guess := range []string{"", strings.Repeat("A", 43), current[:42], current + "A", old[:21] + current[21:]} {
		if both.Issued(guess) || link.New(after).Issued(old) {
			t.Errorf("%q is taken for a key that was made", guess)
		}
	}
}

// The last character of a link is a letter or digit, whatever a request-id ends with; and the request-id is still the one it was.
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
				t.Errorf("%q came out of %s, %v", parsed.Query().Get("rid"), got, err)
			}
		}
	}
}

// A link that is mailed after a change of the secret has the key that was promised before it.
func TestFindAfterAChangeOfTheSecret(t *testing.T) {
	t.Parallel()
	before, after, foreign := newSecret(t), newSecret(t), newSecret(t)
	id := uuid.New()
	old := link.New(before).Key(id)
	hash, _ := link.Hash(old)
	for name, root := range map[string]secret.Root{
		"the one it was made under": before, "a newer one": after.Accepting(before), "one that was written down": before.Accepting(after),
	} {
		if got, ok := link.New(root).Find(id, hash); !ok || got != old {
			t.Errorf("%s: got %q, %t", name, got, ok)
		}
	}
	if link.New(after.Accepting(before)).Key(id) != link.New(after).Key(id) {
		t.Error("a new link is made under the old secret")
	}
	for name, root := range map[string]secret.Root{"without the old one": after, "others": after.Accepting(foreign)} {
		if got, ok := link.New(root).Find(id, hash); ok || got != "" {
			t.Errorf("%s: got %q, %t", name, got, ok)
		}
	}
	if _, ok := link.New(before).Find(uuid.New(), hash); ok {
		t.Error("the key of another confirmation")
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

// A key in another letter case is another key, which exists nowhere.
func TestHashTellsSpellingsApart(t *testing.T) {
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
		t.Error("upper and lower case are one key")
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
		// An accepted text is the only spelling of its bytes.
		raw, err := base64.RawURLEncoding.DecodeString(key)
		canonical := err == nil && len(raw) == 32 && base64.RawURLEncoding.EncodeToString(raw) == key
		if ok != canonical {
			t.Fatalf("ok = %t, canonical = %t", ok, canonical)
		}
	})
}
