package password

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// cheap returns parameters for tests that do not depend on the cost of a hash.
func cheap() Params { return Params{Memory: 8, Time: 1, Threads: 1} }

func newHasher(t testing.TB) *Hasher {
	t.Helper()
	return NewHasher(Options{Slots: 2, Queue: 8, Params: cheap()})
}

func mustHash(t testing.TB, h *Hasher, password, like string) string {
	t.Helper()
	hash, err := h.Hash(t.Context(), password, like)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func mustMatch(t testing.TB, h *Hasher, password string, hashes ...string) int {
	t.Helper()
	i, err := h.Match(t.Context(), password, hashes...)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestDefaultHash(t *testing.T) {
	t.Parallel()
	h := NewHasher(Options{})
	hash := mustHash(t, h, "correct horse", "")
	parts := strings.Split(hash, "$")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=47104,t=1,p=1$") || len(parts) != 6 {
		t.Fatalf("got %s", hash)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) != 16 {
		t.Fatalf("salt %s", parts[4])
	}
	want := argon2.IDKey([]byte("correct horse"), salt, 1, 47104, 1, 32)
	if parts[5] != base64.RawStdEncoding.EncodeToString(want) {
		t.Error("not Argon2id of the password")
	}
	if mustMatch(t, h, "correct horse", hash) != 0 || mustMatch(t, h, "correct horsf", hash) != -1 {
		t.Error("Match does not accept the result of Hash")
	}
}

func TestSaltsAreUnique(t *testing.T) {
	t.Parallel()
	h, seen := newHasher(t), map[string]bool{}
	for range 200 {
		hash := mustHash(t, h, "same", "")
		if seen[hash] {
			t.Fatal("a duplicate salt")
		}
		seen[hash] = true
	}
}

func TestMatchReturnsTheIndex(t *testing.T) {
	t.Parallel()
	h := newHasher(t)
	one := mustHash(t, h, "one", "")
	two := mustHash(t, h, "two", one) // shares the salt, as a pending password does
	three := mustHash(t, h, "three", "")
	for password, want := range map[string]int{"one": 0, "two": 1, "three": 2, "four": -1, "": -1, "One": -1, "one ": -1, " one": -1} {
		if got := mustMatch(t, h, password, one, two, three); got != want {
			t.Errorf("%q: got %d, want %d", password, got, want)
		}
	}
}

// The work must not depend on which hash matches, or whether there is one (ASVS 6.3.8).
func TestMatchCostDoesNotRevealTheResult(t *testing.T) {
	t.Parallel()
	setup := newHasher(t)
	one := mustHash(t, setup, "one", "")
	two := mustHash(t, setup, "two", one)
	other := mustHash(t, setup, "other", "")
	for name, c := range map[string]struct {
		password string
		hashes   []string
		want     uint64
	}{
		"unknown account":              {"one", nil, 1},
		"one hash, right":              {"one", []string{one}, 1},
		"one hash, wrong":              {"x", []string{one}, 1},
		"two of one salt, first":       {"one", []string{one, two}, 1},
		"two of one salt, second":      {"two", []string{one, two}, 1},
		"two of one salt, wrong":       {"x", []string{one, two}, 1},
		"invalid UTF-8":                {"\xff", []string{one, two}, 1},
		"invalid UTF-8, unknown":       {"\xff", nil, 1},
		"two salts, first":             {"one", []string{one, other}, 2},
		"two salts, second":            {"other", []string{one, other}, 2},
		"empty password":               {"", []string{one}, 1},
		"too long":                     {strings.Repeat("x", MaxLen+1), []string{one}, 0},
		"damaged hash":                 {"one", []string{one, "$argon2id$"}, 0},
		"hash that requires gigabytes": {"one", []string{strings.Replace(one, "m=8", "m=4194304", 1)}, 0},
	} {
		h := newHasher(t)
		_, _ = h.Match(t.Context(), c.password, c.hashes...)
		if got := h.Computed(); got != c.want {
			t.Errorf("%s: %d hashes, want %d", name, got, c.want)
		}
	}
}

func TestMatchWithoutHashes(t *testing.T) {
	t.Parallel()
	h := newHasher(t)
	for _, password := range []string{"", "x", "\xff"} {
		if got := mustMatch(t, h, password); got != -1 {
			t.Errorf("%q matches without hashes: %d", password, got)
		}
	}
}

// Passwords are compared exactly, except for Unicode normalization (ASVS 6.2.8, SP 800-63B).
func TestUnicodeNormalization(t *testing.T) {
	t.Parallel()
	h := newHasher(t)
	hash := mustHash(t, h, "caf\u00e9 \u212b", "") // é composed, Ångström sign
	for password, want := range map[string]int{
		"caf\u00e9 \u212b":        0,
		"cafe\u0301 \u00c5":       0,
		"cafe\u0301 A\u030a":      0,
		"cafe A\u030a":            -1,
		"CAF\u00c9 \u212b":        -1,
		"caf\u00e9 \u212b\x00":    -1,
		"caf\u00e9\u00a0\u212b":   -1,
		"\uff43af\u00e9 \u212b":   -1,
		"caf\u00e9 \u212b\u200b":  -1,
		"\ufeffcaf\u00e9 \u212b":  -1,
		"caf\u00e9 \u212b\n":      -1,
		"caf\u00e9 \u212b\xff":    -1,
		"caf\u00e9 \u212b\u0301x": -1,
	} {
		if got := mustMatch(t, h, password, hash); got != want {
			t.Errorf("%+q: got %d, want %d", password, got, want)
		}
	}
}

func TestNULIsSignificant(t *testing.T) {
	t.Parallel()
	h := newHasher(t)
	hash := mustHash(t, h, "a\x00b", "")
	if mustMatch(t, h, "a\x00b", hash) != 0 || mustMatch(t, h, "a", hash) != -1 || mustMatch(t, h, "a\x00c", hash) != -1 {
		t.Error("the bytes after a NUL are ignored")
	}
}

// A password that is invalid UTF-8 matches nothing: neither a hash of its own bytes nor one with U+FFFD.
func TestInvalidUTF8NeverMatches(t *testing.T) {
	t.Parallel()
	h := newHasher(t)
	if _, err := h.Hash(t.Context(), "a\xff", ""); !errors.Is(err, ErrNotUTF8) {
		t.Fatalf("hashed: %v", err)
	}
	forged := phc{Params: cheap()}
	forged.tag = h.compute([]byte("a\xff"), forged)
	replaced := mustHash(t, h, "a\ufffd", "")
	for _, password := range []string{"a\xff", "a\xfe", "a\xed\xa0\x80", "a\xc0\x80"} {
		if got := mustMatch(t, h, password, forged.String(), replaced); got != -1 {
			t.Errorf("%+q matches %d", password, got)
		}
	}
}

func TestLongPasswords(t *testing.T) {
	t.Parallel()
	h := newHasher(t)
	longest := strings.Repeat("x", MaxLen)
	hash := mustHash(t, h, longest, "")
	if mustMatch(t, h, longest, hash) != 0 || mustMatch(t, h, longest[1:], hash) != -1 {
		t.Error("the longest password was truncated")
	}
	if _, err := h.Match(t.Context(), longest+"x", hash); !errors.Is(err, ErrTooLong) {
		t.Errorf("Match: %v", err)
	}
	if _, err := h.Hash(t.Context(), longest+"x", ""); !errors.Is(err, ErrTooLong) {
		t.Errorf("Hash: %v", err)
	}
	for _, length := range []int{64, 72, 73, 128, 256} { // bcrypt truncates after 72
		p := strings.Repeat("y", length)
		hash := mustHash(t, h, p, "")
		if mustMatch(t, h, p, hash) != 0 || mustMatch(t, h, p+"y", hash) != -1 || mustMatch(t, h, p[:length-1], hash) != -1 {
			t.Errorf("length %d is not compared as a whole", length)
		}
	}
}

func TestHashLikeAnother(t *testing.T) {
	t.Parallel()
	old := NewHasher(Options{Params: Params{Memory: 16, Time: 2, Threads: 1}})
	first := mustHash(t, old, "one", "")
	second := mustHash(t, newHasher(t), "two", first)
	if a, b := first[:strings.LastIndex(first, "$")], second[:strings.LastIndex(second, "$")]; a != b {
		t.Errorf("salt or parameters differ: %s, %s", a, b)
	}
	if _, err := newHasher(t).Hash(t.Context(), "two", "nonsense"); err == nil {
		t.Error("accepted a malformed hash")
	}
}

func TestNeedsRehash(t *testing.T) {
	t.Parallel()
	h := NewHasher(Options{Params: Params{Memory: 16, Time: 2, Threads: 1}})
	for params, want := range map[Params]bool{
		{Memory: 16, Time: 2, Threads: 1}: false,
		{Memory: 15, Time: 2, Threads: 1}: true,
		{Memory: 64, Time: 1, Threads: 1}: true,
		{Memory: 17, Time: 3, Threads: 2}: false,
	} {
		if got := h.NeedsRehash(mustHash(t, NewHasher(Options{Params: params}), "x", "")); got != want {
			t.Errorf("%+v: got %t", params, got)
		}
	}
	if h.NeedsRehash("") || h.NeedsRehash("$2a$10$...") {
		t.Error("a malformed hash needs a rehash")
	}
}

func TestNewHasherRefusesInvalidOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"slots":   {Slots: -1},
		"queue":   {Queue: -1},
		"wait":    {Wait: -1},
		"memory":  {Params: Params{Memory: 1 << 30, Time: 1, Threads: 1}},
		"time":    {Params: Params{Memory: 8, Threads: 1}},
		"threads": {Params: Params{Memory: 8, Time: 1}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			NewHasher(o)
		}()
	}
}

func TestBusyError(t *testing.T) {
	t.Parallel()
	var busy interface{ RetryAfter() time.Duration }
	if !errors.As(error(BusyError{}), &busy) || busy.RetryAfter() != time.Second {
		t.Error("no RetryAfter of a second")
	}
}

func FuzzMatch(f *testing.F) {
	h := NewHasher(Options{Params: cheap()})
	for _, p := range []string{"", "x", "caf\u00e9", "cafe\u0301", "a\x00b", "\xff", "\xed\xa0\x80", "a\u0300\u0301\u0302"} {
		f.Add(p, "x")
	}
	f.Fuzz(func(t *testing.T, p, q string) {
		ctx := t.Context()
		if len(q) > MaxLen {
			return
		}
		hash, err := h.Hash(ctx, p, "")
		if err != nil {
			if valid := utf8.ValidString(p) && len(p) <= MaxLen; valid || (!errors.Is(err, ErrTooLong) && !errors.Is(err, ErrNotUTF8)) {
				t.Fatalf("%+q: %v", p, err)
			}
			return
		}
		if i, err := h.Match(ctx, p, hash); err != nil || i != 0 {
			t.Fatalf("%+q does not match itself: %d, %v", p, i, err)
		}
		want := -1
		if utf8.ValidString(q) && norm.NFC.String(p) == norm.NFC.String(q) {
			want = 0
		}
		if i, err := h.Match(ctx, q, hash); err != nil || i != want {
			t.Fatalf("%+q against %+q: %d, %v", q, p, i, err)
		}
	})
}
