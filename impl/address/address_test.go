package address_test

import (
	"errors"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/impl/address"
)

func TestNormalizeAccepts(t *testing.T) {
	t.Parallel()
	local64 := strings.Repeat("l", 64)
	label63 := strings.Repeat("d", 63)
	for in, want := range map[string]string{
		"user@example.com":                "user@example.com",
		"User.Name@Example.COM":           "user.name@example.com",
		"MIKE@EXAMPLE.COM":                "mike@example.com",
		"x@y.zz":                          "x@y.zz",
		"first.last+tag@sub.example.com":  "first.last+tag@sub.example.com", // N-E18
		"o'brien_a-b&c~d#e$f*g/h=i@a.com": "o'brien_a-b&c~d#e$f*g/h=i@a.com",
		"1@2.com":                         "1@2.com",
		"a-@b.com":                        "a-@b.com",
		"a@b-c.com":                       "a@b-c.com",
		"a@1.2.3.4.com":                   "a@1.2.3.4.com",
		local64 + "@example.com":          local64 + "@example.com",
		"a@" + label63 + ".com":           "a@" + label63 + ".com",
		// 254 bytes: 64 + 1 + 63 + 1 + 63 + 1 + 57 + 4
		local64 + "@" + label63 + "." + label63 + "." + strings.Repeat("d", 57) + ".com": local64 + "@" + label63 + "." + label63 + "." + strings.Repeat("d", 57) + ".com",
	} {
		got, err := address.Normalize(in)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
}

// refuse fails the test for each address that Normalize accepts. Names such as E11 refer to the list N-E of attacks.
func refuse(t *testing.T, addresses map[string]string) {
	t.Helper()
	for name, in := range addresses {
		got, err := address.Normalize(in)
		if !errors.Is(err, address.ErrInvalid) || got != "" {
			t.Errorf("%s: %q: got %q, %v", name, in, got, err)
		}
	}
}

// Anything but one plain addr-spec is refused.
func TestNormalizeRefusesForms(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("d", 63)
	refuse(t, map[string]string{
		"empty":                     "",
		"only @":                    "@",
		"no local part":             "@b.com",
		"no @":                      "a.b.com",
		"E1 comma list":             "a@b.com,c@d.com",
		"E1 semicolon list":         "a@b.com;c@d.com",
		"E1 space list":             "a@b.com c@d.com",
		"E2 JSON list":              `["a@b.com","c@d.com"]`,
		"E3 display name":           "Foo <a@b.com>",
		"E4 angle brackets":         "<a@b.com>",
		"E4 mailto":                 "mailto:a@b.com",
		"E5 comment":                "a@b.com (x)",
		"E5 comment inside":         "a(x)@b.com",
		"E6 quoted":                 `"a b"@b.com`,
		"E6 quoted, plain inside":   `"a"@b.com`,
		"E7 quoted other recipient": `"x@evil.com x"@internal.domain`,
		"E8 escaped quote":          `"a\"b"@c.d`,
		"E8 backslash":              `a\b@c.de`,
		"E14 two @":                 "a@b@c.com",
		"E14 @ at the end":          "a@b.com@",
		"E14 full-width @":          "a@b＠c.com",
		"E15 leading dot":           ".a@b.com",
		"E15 two dots":              "a..b@c.com",
		"E15 trailing dot":          "a.@b.com",
		"E15 only a dot":            ".@b.com",
		"E16 local of 65":           strings.Repeat("l", 65) + "@b.com",
		"E16 255 in all":            strings.Repeat("l", 64) + "@" + label63 + "." + label63 + "." + strings.Repeat("d", 58) + ".com",
		"E19 leading space":         " a@b.com",
		"E19 trailing space":        "a@b.com ",
		"E19 space around @":        "a @ b.com",
		"E19 tab":                   "a@b.com\t",
		"E19 NBSP":                  "\u00a0a@b.com",
		"E19 NBSP at the end":       "a@b.com\u00a0",
		"E19 ZWSP":                  "a\u200b@b.com",
		"E19 BOM":                   "\ufeffa@b.com",
	})
}

// A domain that DNS cannot have, or that is an IP address, is refused.
func TestNormalizeRefusesDomains(t *testing.T) {
	t.Parallel()
	refuse(t, map[string]string{
		"no domain":                  "a@",
		"E9 IPv4 literal":            "a@[127.0.0.1]",
		"E9 IPv6 literal":            "a@[IPv6:::1]",
		"E9 bare IPv4":               "a@127.0.0.1",
		"E9 IPv4 in hex":             "a@0x7f.0x1",
		"E9 last label a number":     "a@b.1",
		"E9 full-width IPv4":         "a@127.0.0.１",
		"E9 port":                    "a@b.com:25",
		"E10 no dot":                 "a@b",
		"E10 localhost":              "a@localhost",
		"E16 label of 64":            "a@" + strings.Repeat("d", 64) + ".com",
		"E16 label of 64 as A-label": "a@" + strings.Repeat("é", 60) + "aaaaaaaaaaa.com",
		"E23 trailing dot":           "a@b.com.",
		"E23 leading dot":            "a@.b.com",
		"E23 two dots":               "a@b..com",
		"E23 ideographic end":        "a@b.com。",
		"E24 bad A-label":            "a@xn--example-.com",
		"E24 empty A-label":          "a@xn--.com",
		"E24 A-label of ASCII":       "a@xn--abc-.com",
		"E24 other hyphens":          "a@ab--cd.com",
		"underscore in the domain":   "a@b_c.com",
		"hyphen at a label's end":    "a@b-.com",
	})
}

// Control characters, invalid UTF-8, and syntax of SMTP, mail headers, templates, shells and options are refused.
func TestNormalizeRefusesInjections(t *testing.T) {
	t.Parallel()
	refuse(t, map[string]string{
		"E11 CRLF header":            "a@b.com\r\nBcc:x@y.z",
		"E11 CRLF":                   "a@b.com\r\n",
		"E11 LF":                     "a@b.com\n",
		"E11 LF in local":            "a\n@b.com",
		"E11 CR":                     "a\r@b.com",
		"E11 percent-encoded CRLF":   "a%0d%0a@b.com",
		"E11 percent in the domain":  "a@b.com%0d%0a",
		"E11 U+2028":                 "a\u2028@b.com",
		"E11 U+2028 in the domain":   "a@b.com\u2028",
		"E11 U+0085":                 "a\u0085@b.com",
		"E11 U+0085 in the domain":   "a@b.com\u0085",
		"E12 SMTP command":           "a@b.com>\r\nRCPT TO:<x>",
		"E13 SMTP parameter":         "a@b.com> SIZE=1",
		"E13 ORCPT":                  "a@b.com> ORCPT=rfc822;x@y.z",
		"E17 encoded word":           "=?utf-8?q?a=0d=0a?=@b.com",
		"E18 bang path":              "a!b@c.com",
		"E18 percent route":          "a%b@c.com",
		"E18 source route":           "@a.com:b@c.com",
		"E20 NUL":                    "a\x00@b.com",
		"E20 NUL in the domain":      "a@b\x00.com",
		"E20 NUL at the end":         "a@b.com\x00",
		"E20 DEL":                    "a\x7f@b.com",
		"E21 option":                 "-oQ/tmp@x.com",
		"E21 option in the domain":   "a@-x.com",
		"E22 truncates to CRLF":      "a瘍瘊b@c.com",
		"E25 template":               "{{.}}@b.com",
		"E25 template in the domain": "a@{{.}}.com",
		"E25 shell":                  "`id`@b.com",
		"E25 pipe":                   "|id@b.com",
		"E25 dollar brace":           "${x}@b.com",
		"E25 caret":                  "a^b@c.com",
		"invalid UTF-8":              "a\xff@b.com",
		"invalid UTF-8 in domain":    "a@b\xff.com",
		"overlong NUL":               "a@b\xc0\x80.com",
		"its replacement, A-label":   "a@xn--b-q10i.com",
		"replacement character":      "a@b\ufffd.com",
		"private use":                "a@b\ue000.com",
		"surrogate":                  "a@b\xed\xa0\x80.com",
	})
}

// Spellings that look alike are one address or are refused, never two addresses. This is the list N-U.
func TestNormalizeUnicode(t *testing.T) {
	t.Parallel()
	const refused = ""
	for name, c := range map[string]struct{ in, want string }{
		"upper case":                       {"MIKE@mike.com", "mike@mike.com"},
		"U+0130 in local":                  {"m\u0130ke@mike.com", refused},
		"U+0131 in local":                  {"m\u0131ke@mike.com", refused},
		"Kelvin sign in local":             {"\u212aelvin@mike.com", refused},
		"Kelvin sign in the domain":        {"a@\u212aelvin.com", "a@kelvin.com"},
		"U+0130 in the domain":             {"a@m\u0130ke.com", "a@xn--mike-rwc.com"},
		"U+0131 in the domain":             {"a@m\u0131ke.com", "a@xn--mke-jua.com"},
		"long s in local":                  {"\u017fam@mike.com", refused},
		"long s in the domain":             {"a@\u017fam.com", "a@sam.com"},
		"sharp s in local":                 {"stra\u00dfe@mike.com", refused},
		"sharp s in the domain":            {"a@stra\u00dfe.de", "a@xn--strae-oqa.de"},
		"ss in the domain":                 {"a@strasse.de", "a@strasse.de"},
		"full-width local":                 {"\uff41@b.com", refused},
		"full-width domain":                {"a@\uff42\uff42.com", "a@bb.com"},
		"full-width at":                    {"a\uff20b.com", refused},
		"NFC local":                        {"\u00e9@b.com", refused},
		"NFD local":                        {"e\u0301@b.com", refused},
		"NFC domain":                       {"a@caf\u00e9.com", "a@xn--caf-dma.com"},
		"NFD domain":                       {"a@cafe\u0301.com", "a@xn--caf-dma.com"},
		"NFC domain, upper case":           {"a@CAF\u00c9.com", "a@xn--caf-dma.com"},
		"its A-label":                      {"a@xn--caf-dma.com", "a@xn--caf-dma.com"},
		"its A-label, upper case":          {"a@XN--CAF-DMA.COM", "a@xn--caf-dma.com"},
		"A-label of the NFD spelling":      {"a@xn--cafe-yvc.com", refused},
		"Cyrillic a in local":              {"p\u0430ul@b.com", refused},
		"Cyrillic a in the domain":         {"a@p\u0430ypal.com", "a@xn--pypal-4ve.com"},
		"N-E24 Cyrillic A-label":           {"a@xn--80ak6aa92e.com", "a@xn--80ak6aa92e.com"},
		"N-E24 its U-label":                {"a@\u0430\u0440\u0440\u04cf\u0435.com", "a@xn--80ak6aa92e.com"},
		"sigma in local":                   {"\u03c3@b.com", refused},
		"sigma":                            {"a@\u03b2\u03cc\u03bb\u03bf\u03c3.com", "a@xn--nxasmq6b.com"},
		"final sigma is a letter":          {"a@\u03b2\u03cc\u03bb\u03bf\u03c2.com", "a@xn--nxasmm1c.com"},
		"ZWJ in local":                     {"a\u200db@b.com", refused},
		"ZWJ in a Latin domain":            {"a@b\u200dc.com", refused},
		"ZWNJ in a Latin domain":           {"a@b\u200cc.com", refused},
		"soft hyphen is nothing":           {"a@b\u00adc.com", "a@bc.com"},
		"bidi override in local":           {"a\u202eb@c.com", refused},
		"bidi override in the domain":      {"a@b\u202ec.com", refused},
		"mixed directions in the domain":   {"a@\u05d0b.com", refused},
		"right to left":                    {"a@\u05d0\u05d1.com", "a@xn--4dbc.com"},
		"circled letters":                  {"a@\u24d4xample.com", "a@example.com"},
		"ideographic full stop":            {"a@example\u3002com", "a@example.com"},
		"half-width ideographic full stop": {"a@example\uff61com", "a@example.com"},
		"upper-case punycode":              {"a@XN--80AK6AA92E.com", "a@xn--80ak6aa92e.com"},
		"combining mark first":             {"a@\u0301b.com", refused},
		"combining marks on one base":      {"a@b" + strings.Repeat("\u0301", 10_000) + ".com", refused},
		"combining marks, within the cap":  {"a@b" + strings.Repeat("\u0301", 120) + ".com", refused},
		"unassigned":                       {"a@b\U0003ffff.com", refused},
		"emoji in local":                   {"\U0001f600@b.com", refused},
	} {
		got, err := address.Normalize(c.in)
		if got != c.want || (c.want == refused) != errors.Is(err, address.ErrInvalid) {
			t.Errorf("%s: %+q: got %q, %v, want %q", name, c.in, got, err, c.want)
		}
	}
}

// Long input is refused before it is parsed (N-E16, N-U): net/mail needed quadratic time for it.
func TestNormalizeIsFastOnLongInput(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"1 MB":                  strings.Repeat("a", 1<<20) + "@b.com",
		"10,000 quoted strings": strings.Repeat(`"a".`, 10_000) + "@b.com",
		"10,000 comments":       strings.Repeat("(", 10_000) + "a@b.com",
		"10,000 labels":         "a@" + strings.Repeat("b.", 10_000) + "com",
		"combining marks":       "a@b" + strings.Repeat("\u0301", 10_000) + ".com",
	} {
		best := time.Hour // of several runs, because the machine may be busy
		for range 10 {
			start := time.Now()
			if _, err := address.Normalize(in); !errors.Is(err, address.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
			best = min(best, time.Since(start))
		}
		if best > 10*time.Millisecond {
			t.Errorf("%s took %s", name, best)
		}
	}
}

// The error is logged, so it must not contain the input.
func TestErrorsDoNotContainTheInput(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"CANARY\r\n@b.com", "a@CANARY_.com", "a@xn--canary-.com", "canary"} {
		_, err := address.Normalize(in)
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "canary") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{
		"User.Name+tag@Example.com", "a@caf\u00e9.com", "a@xn--caf-dma.com", "a@XN--80AK6AA92E.com", "a@stra\u00dfe.de",
		"a@example\u3002com", "a@\u05d0\u05d1.com", `"a b"@c.com`, "a@b.com\r\nBcc: x@y.z", "a@[127.0.0.1]", "-a@b.com",
		"a@b.com.", "a@\u0915\u094d\u200d\u0937.com", "a@xn--\u00e9.com", "a@b\u00ad.com", "a@\u2100.com", "0@\u0970\u2137.A", "@", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := address.Normalize(in)
		if err != nil {
			if !errors.Is(err, address.ErrInvalid) || got != "" {
				t.Fatalf("%q: got %q, %v", in, got, err)
			}
			return
		}
		again, err := address.Normalize(got)
		if err != nil || again != got {
			t.Fatalf("%q -> %q -> %q, %v: the canonical form is not canonical", in, got, again, err)
		}
		if len(got) > 254 || strings.Count(got, "@") != 1 || strings.ToLower(got) != got || got[0] == '-' {
			t.Fatalf("%q -> %q", in, got)
		}
		for i := range len(got) {
			if c := got[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("<>()[],;:\\\"%!?{}`|^", c) >= 0 {
				t.Fatalf("%q -> %q has %q", in, got, c)
			}
		}
		// Other software parses the result as one address too.
		parsed, err := mail.ParseAddress("<" + got + ">")
		if err != nil || parsed.Address != got {
			t.Fatalf("%q -> %q: net/mail reads %v, %v", in, got, parsed, err)
		}
		local, domain, _ := strings.Cut(got, "@")
		if !strings.Contains(domain, ".") || strings.HasSuffix(domain, ".") || len(local) > 64 {
			t.Fatalf("%q -> %q", in, got)
		}
		// ASCII letter case does not matter.
		if upper, err := address.Normalize(upperASCII(in)); err != nil || upper != got {
			t.Fatalf("%q -> %q, in upper case %q, %v", in, got, upper, err)
		}
	})
}

func upperASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 0x20
		}
	}
	return string(b)
}
