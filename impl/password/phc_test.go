package password

import (
	"strings"
	"testing"
)

const salt, tag = "AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

func TestParsePHC(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag,
		"$argon2id$v=19$m=8,t=1,p=1$" + salt + "$" + tag,
		"$argon2id$v=19$m=262144,t=10,p=8$" + salt + "$" + tag,
	} {
		h, err := parsePHC(text)
		if err != nil || h.String() != text || h.salt[15] != 15 || h.tag[31] != 31 {
			t.Errorf("%s: %+v, %v", text, h, err)
		}
	}
}

func TestParsePHCRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":               "",
		"plain text":          "secret",
		"bcrypt":              "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"argon2i":             "$argon2i$v=19$m=47104,t=1,p=1$" + salt + "$" + tag,
		"upper case":          "$ARGON2ID$v=19$m=47104,t=1,p=1$" + salt + "$" + tag,
		"old version":         "$argon2id$v=16$m=47104,t=1,p=1$" + salt + "$" + tag,
		"no version":          "$argon2id$m=47104,t=1,p=1$" + salt + "$" + tag,
		"something before":    "x$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag,
		"something after":     "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag + "$",
		"newline after":       "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag + "\n",
		"newline inside":      "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag[:20] + "\n" + tag[20:],
		"memory of 4 GiB":     "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + tag,
		"memory just over":    "$argon2id$v=19$m=262145,t=1,p=1$" + salt + "$" + tag,
		"memory too small":    "$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + tag,
		"memory under lanes":  "$argon2id$v=19$m=8,t=1,p=2$" + salt + "$" + tag,
		"memory overflows":    "$argon2id$v=19$m=4294967304,t=1,p=1$" + salt + "$" + tag,
		"no pass":             "$argon2id$v=19$m=47104,t=0,p=1$" + salt + "$" + tag,
		"many passes":         "$argon2id$v=19$m=47104,t=11,p=1$" + salt + "$" + tag,
		"no lane":             "$argon2id$v=19$m=47104,t=1,p=0$" + salt + "$" + tag,
		"many lanes":          "$argon2id$v=19$m=47104,t=1,p=9$" + salt + "$" + tag,
		"lanes overflow":      "$argon2id$v=19$m=47104,t=1,p=257$" + salt + "$" + tag,
		"negative":            "$argon2id$v=19$m=-47104,t=1,p=1$" + salt + "$" + tag,
		"plus":                "$argon2id$v=19$m=+47104,t=1,p=1$" + salt + "$" + tag,
		"leading zero":        "$argon2id$v=19$m=047104,t=1,p=1$" + salt + "$" + tag,
		"hex":                 "$argon2id$v=19$m=0xb800,t=1,p=1$" + salt + "$" + tag,
		"underscore":          "$argon2id$v=19$m=47_104,t=1,p=1$" + salt + "$" + tag,
		"space":               "$argon2id$v=19$m=47104, t=1,p=1$" + salt + "$" + tag,
		"other order":         "$argon2id$v=19$t=1,m=47104,p=1$" + salt + "$" + tag,
		"missing":             "$argon2id$v=19$m=47104,t=1$" + salt + "$" + tag,
		"twice":               "$argon2id$v=19$m=47104,t=1,p=1,p=1$" + salt + "$" + tag,
		"more":                "$argon2id$v=19$m=47104,t=1,p=1,keyid=1$" + salt + "$" + tag,
		"no salt":             "$argon2id$v=19$m=47104,t=1,p=1$$" + tag,
		"short salt":          "$argon2id$v=19$m=47104,t=1,p=1$" + salt[:20] + "$" + tag,
		"long salt":           "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "AA$" + tag,
		"no tag":              "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$",
		"short tag":           "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag[:42],
		"long tag":            "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag + "AA",
		"padding":             "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag + "=",
		"tail bits of salt":   "$argon2id$v=19$m=47104,t=1,p=1$" + salt[:21] + "x$" + tag,
		"tail bits of tag":    "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag[:42] + "9",
		"url alphabet":        "$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$_" + tag[1:],
		"very long":           strings.Repeat("$", 1<<20),
		"very long parameter": "$argon2id$v=19$m=" + strings.Repeat("0", 1<<20) + "8,t=1,p=1$" + salt + "$" + tag,
	} {
		if h, err := parsePHC(text); err == nil {
			t.Errorf("%s: accepted as %+v", name, h)
		} else if len(text) > 20 && (strings.Contains(err.Error(), salt) || strings.Contains(err.Error(), tag)) {
			t.Errorf("%s: the error shows the hash", name)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=47104,t=1,p=1$" + salt + "$" + tag)
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$" + salt + "$" + tag)
	f.Add("$argon2id$v=19$m=8,t=1,p=1,p=1$" + salt + "$" + tag)
	f.Add("$argon2id$")
	f.Add("$$$$$$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(text)
		if err != nil {
			return
		}
		if h.String() != text {
			t.Fatalf("%q is a non-canonical form of %q", text, h.String())
		}
		if h.Memory > maxMemory || h.Time > maxTime || h.Threads > maxThreads || h.Time == 0 || h.Threads == 0 {
			t.Fatalf("%q is out of bounds", text)
		}
	})
}
