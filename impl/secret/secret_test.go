package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/secret"
)

// sample returns a secret with '+' or '/' in standard base64, so that the two alphabets differ.
func sample() []byte {
	b := make([]byte, secret.Size)
	for i := range b {
		b[i] = byte(255 - i)
	}
	return b
}

func mustParse(t testing.TB, s string) secret.Root {
	t.Helper()
	root, err := secret.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestParseAcceptsEveryBase64Variant(t *testing.T) {
	t.Parallel()
	want := base64.StdEncoding.EncodeToString(sample())
	for name, text := range map[string]string{
		"standard":             want,
		"standard, no padding": base64.RawStdEncoding.EncodeToString(sample()),
		"url":                  base64.URLEncoding.EncodeToString(sample()),
		"url, no padding":      base64.RawURLEncoding.EncodeToString(sample()),
		"a file's last line":   want + "\r\n",
		"spaces around":        "  " + want + "\t",
	} {
		if got := mustParse(t, text).Encode(); got != want {
			t.Errorf("%s: got another secret", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := base64.RawStdEncoding.EncodeToString(sample())
	for name, text := range map[string]string{
		"empty":            "",
		"blank":            " \n",
		"31 bytes":         base64.StdEncoding.EncodeToString(sample()[:31]),
		"33 bytes":         base64.StdEncoding.EncodeToString(append(sample(), 1)),
		"hex":              hex.EncodeToString(sample()),
		"line break":       good[:20] + "\n" + good[20:],
		"two paddings":     good + "==",
		"space inside":     good[:20] + " " + good[20:],
		"tail bits":        good[:42] + "B",
		"other letter":     good[:42] + "!",
		"all zero":         base64.StdEncoding.EncodeToString(make([]byte, 32)),
		"all equal":        base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
		"not ASCII":        strings.Repeat("ä", 22),
		"a plain sentence": "please change me before production!",
	} {
		_, err := secret.Parse(text)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if trimmed := strings.TrimSpace(text); trimmed != "" && strings.Contains(err.Error(), trimmed) {
			t.Errorf("%s: the error shows the value", name)
		}
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	one, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	two, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	if one.Encode() == two.Encode() {
		t.Error("two secrets are equal")
	}
	if mustParse(t, one.Encode()).Encode() != one.Encode() {
		t.Error("Parse does not accept the result of Encode")
	}
}

// The derivation must never change: everything that is encrypted or hashed in existing databases depends on it.
func TestDerivationIsStable(t *testing.T) {
	t.Parallel()
	root := mustParse(t, base64.StdEncoding.EncodeToString(sample()))
	const (
		key  = "f51801315e4423d2d51e60b9dbb2616c90616bffe0f5822988ec8c1565fd3922"
		hash = "c7517742cf0f5858e631266b060351a6bb919ffaa95e3de12eac71e555e18545"
	)
	if got := hex.EncodeToString(root.Key("test")); got != key {
		t.Errorf("Key: got %s", got)
	}
	if got := hex.EncodeToString(root.Hash("test", []byte("data"))); got != hash {
		t.Errorf("Hash: got %s", got)
	}
}

func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	root := mustParse(t, base64.StdEncoding.EncodeToString(sample()))
	other, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key := root.Key("one")
	switch {
	case len(key) != secret.Size:
		t.Errorf("key has %d bytes", len(key))
	case !bytes.Equal(key, root.Key("one")):
		t.Error("a key is not the same twice")
	case bytes.Equal(key, root.Key("two")):
		t.Error("two purposes derive the same key")
	case bytes.Equal(key, other.Key("one")):
		t.Error("two secrets derive the same key")
	case bytes.Equal(key, sample()):
		t.Error("a key is the secret itself")
	case bytes.Equal(root.Hash("one", []byte("a")), root.Hash("one", []byte("b"))):
		t.Error("two values have the same hash")
	}
}

func TestNeverPrinted(t *testing.T) {
	t.Parallel()
	root := mustParse(t, base64.StdEncoding.EncodeToString(sample()))
	type inside struct {
		Name   string
		Public secret.Root
		hidden secret.Root
		ptr    *secret.Root
	}
	value := inside{Name: "x", Public: root, hidden: root, ptr: &root}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%c", "%U"} {
		for _, arg := range []any{root, &root, value, &value, []secret.Root{root}, map[string]secret.Root{"k": root}} {
			fmt.Fprintf(&out, verb+"\n", arg)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "root", root, "ptr", &root, "value", value, "list", []secret.Root{root})
	}
	body, err := json.Marshal(map[string]any{"root": root, "value": value})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(body)

	text := out.String()
	if !strings.Contains(text, "[secret]") {
		t.Error("nothing was printed")
	}
	for _, leak := range []string{
		root.Encode(), strings.TrimRight(root.Encode(), "="), string(sample()), string(sample()[:8]),
		hex.EncodeToString(sample()[:4]), strings.ToUpper(hex.EncodeToString(sample()[:4])),
		"255 254", "255,254", "0xff, 0xfe", "0xfffe", "11111111 11111110", "377 376", "U+00FF U+00FE", "ÿ þ",
	} {
		if strings.Contains(text, leak) {
			t.Errorf("the secret is printed as %q", leak)
		}
	}
}

func TestAccepting(t *testing.T) {
	t.Parallel()
	var roots []secret.Root
	for range 3 {
		root, err := secret.Generate()
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	both := roots[0].Accepting(roots[1])
	three := both.Accepting(roots[2])
	for name, c := range map[string]struct {
		root secret.Root
		want []secret.Root
	}{
		"alone": {roots[0], roots[:1]}, "two": {both, roots[:2]}, "three": {three, roots},
		"one that accepts others": {roots[0].Accepting(roots[1].Accepting(roots[2])), roots},
	} {
		all := c.root.All()
		if len(all) != len(c.want) || c.root.Encode() != roots[0].Encode() || !bytes.Equal(c.root.Key("x"), roots[0].Key("x")) {
			t.Fatalf("%s: %d roots, or another first", name, len(all))
		}
		for i, root := range all {
			if root.Encode() != c.want[i].Encode() || len(root.All()) != 1 {
				t.Errorf("%s: number %d differs, or is not a single root", name, i)
			}
		}
	}
	if out := fmt.Sprintf("%v %+v %#v %v", three, &three, []any{three}, struct{ r secret.Root }{three}); strings.Contains(out, roots[1].Encode()) {
		t.Error("the other secret is printed")
	}
}

func TestZeroRootIsNoSecret(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(secret.Root){
		"Key":    func(r secret.Root) { r.Key("x") },
		"Hash":   func(r secret.Root) { r.Hash("x", nil) },
		"Encode": func(r secret.Root) { _ = r.Encode() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of the zero Root did not panic", name)
				}
			}()
			use(secret.Root{})
		}()
	}
}

func FuzzParse(f *testing.F) {
	f.Add(base64.StdEncoding.EncodeToString(sample()))
	f.Add(base64.RawURLEncoding.EncodeToString(sample()))
	f.Add(" " + base64.StdEncoding.EncodeToString(sample()) + "\n")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		root, err := secret.Parse(text)
		if err != nil {
			return
		}
		again, err := secret.Parse(root.Encode())
		if err != nil || again.Encode() != root.Encode() {
			t.Fatalf("Encode and Parse disagree: %v", err)
		}
	})
}
