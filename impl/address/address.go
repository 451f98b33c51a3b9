// Package address validates e-mail addresses and converts them to the canonical form by which accounts are found.
package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ErrInvalid means that the service does not accept a text as an address.
var ErrInvalid = errors.New("invalid e-mail address")

const (
	maxLen   = 254 // RFC 5321 section 4.5.3.1.3: a path of 256 bytes has two angle brackets
	maxLocal = 64  // RFC 5321 section 4.5.3.1.1
	maxLabel = 63  // RFC 1035 section 2.3.4
)

// localPunctuation are the characters that a local part may contain besides letters, digits and dots.
const localPunctuation = "_+-'&~#$*/="

// Normalize returns the canonical form of an address, which the service stores, looks up and sends mail to. The result is ASCII, and
// normalizing it again does not change it.
//
// The policy is a plain addr-spec of at most 254 bytes (RFC 5321), with a local part of at most 64, one '@', and nothing around it. Display
// names, comments, quoted strings, routes and address literals are refused: mail programs interpret them differently, so that a mail goes to
// another or an additional recipient (CVE-2023-7028, CVE-2025-13033).
//
// The local part is a dot-atom (RFC 5322) of ASCII letters, digits and _ + - ' & ~ # $ * / =. It does not begin with '-', which a mail program
// may interpret as an option. The other characters that RFC 5322 allows are refused, because real addresses do not contain them: '%' and '!'
// are source routes (a%b@c), '?' is part of encoded words (=?utf-8?q?...?=), '{' and '}' are template syntax, and '`', '|' and '^' are
// shell syntax. The whole local part is lower-cased: RFC 5321 allows a host to distinguish Mike from mike, but no common host does, and a
// user who signs up as Mike logs in as mike. Tags (+tag) and dots stay: only the receiving host defines their meaning. A local part with
// non-ASCII characters is refused, because mail to it requires SMTPUTF8; so Unicode letters are never case-folded (CVE-2019-19844).
//
// The domain has the form that DNS uses: mapped by UTS 46 (letter case, width, compatibility forms, NFC; "ß" is not mapped), validated by
// IDNA 2008 with the Bidi rule, STD 3 characters and hyphen checks, as A-labels ("xn--"). It has at least two labels and no trailing dot. The
// last label begins with a letter, so that no notation of an IP address is a domain.
func Normalize(s string) (string, error) {
	// First of all, because it bounds the time and memory of everything that follows (CVE-2025-61725).
	if len(s) > maxLen {
		return "", invalid("too long")
	}
	if !utf8.ValidString(s) { // package idna would replace an invalid byte with U+FFFD and accept it
		return "", invalid("not UTF-8")
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || strings.Contains(domain, "@") {
		return "", invalid("must contain one @")
	}
	if err := checkLocal(local); err != nil {
		return "", err
	}
	domain, err := normalizeDomain(domain)
	if err != nil {
		return "", err
	}
	canonical := strings.ToLower(local) + "@" + domain
	if len(canonical) > maxLen { // A-labels can be longer than the input
		return "", invalid("too long")
	}
	return canonical, nil
}

func checkLocal(local string) error {
	if local == "" || len(local) > maxLocal {
		return invalid("length of the local part")
	}
	if local[0] == '-' {
		return invalid("local part begins with a hyphen")
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" {
			return invalid("leading, trailing or double dot in the local part")
		}
	}
	for i := range len(local) {
		c := local[i]
		if !isLetter(c|0x20) && !isDigit(c) && c != '.' && strings.IndexByte(localPunctuation, c) < 0 {
			return invalid("character in the local part")
		}
	}
	return nil
}

func normalizeDomain(domain string) (string, error) {
	profile := idna.New(idna.MapForLookup(), idna.StrictDomainName(true), idna.BidiRule(), idna.VerifyDNSLength(true))
	ascii, err := profile.ToASCII(domain)
	if err != nil {
		return "", invalid("domain") // without the cause, which quotes the input
	}
	// Package idna maps some domains to domains that it refuses.
	if again, err := profile.ToASCII(ascii); err != nil || again != ascii {
		return "", invalid("domain has no canonical form")
	}
	return ascii, checkDomain(ascii)
}

// checkDomain checks what callers depend on, independently of the tables of package idna.
func checkDomain(domain string) error {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return invalid("domain without a dot")
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabel {
			return invalid("length of a label of the domain")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return invalid("label begins or ends with a hyphen")
		}
		for i := range len(label) {
			if c := label[i]; !isLetter(c) && !isDigit(c) && c != '-' {
				return invalid("character in the domain")
			}
		}
	}
	// RFC 1123 section 2.1: the top-level label distinguishes a name from an address. inet_aton also accepts 0x7f as a number.
	if !isLetter(labels[len(labels)-1][0]) {
		return invalid("domain is a number")
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func invalid(reason string) error { return fmt.Errorf("%w: %s", ErrInvalid, reason) }
