// Package address brings e-mail addresses into the one spelling by which accounts are found.
package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ErrInvalid says that a text is not an address that the service accepts.
var ErrInvalid = errors.New("invalid e-mail address")

const (
	maxLen   = 254 // RFC 5321 section 4.5.3.1.3: a path of 256 bytes has two angle brackets
	maxLocal = 64  // RFC 5321 section 4.5.3.1.1
	maxLabel = 63  // RFC 1035 section 2.3.4
)

// localPunctuation is what a local part may have besides letters, digits and dots.
const localPunctuation = "_+-'&~#$*/="

// Normalize returns the canonical spelling of an address, which is what the service stores, looks up and mails to.
// The result is ASCII, and its own canonical spelling.
//
// The policy: a plain addr-spec of at most 254 bytes (RFC 5321), local part of at most 64, one '@', nothing around
// it. No display name, comment, quoted string, route or address literal: mail software disagrees about them, and by
// that a mail goes to somebody else or a second recipient appears (CVE-2023-7028, CVE-2025-13033).
//
// The local part is a dot-atom (RFC 5322) of ASCII letters, digits and _ + - ' & ~ # $ * / =. It does not begin with
// '-', which a mail program may take for an option. Of the other characters that RFC 5322 allows, '%' and '!' are
// source routes (a%b@c), '?' makes encoded words (=?utf-8?q?...?=), '{' and '}' are for templates, '`', '|' and '^'
// mean something to shells; people have none of them in their addresses. It is lower-cased as a whole: RFC 5321 lets
// a host tell Mike from mike, no host that people use does, and whoever signs up as Mike logs in as mike. Tags
// (+tag) and dots stay, what they mean is known to the receiving host alone.
// Without SMTPUTF8 a local part beyond ASCII cannot be mailed to, so no fold of Unicode letters (CVE-2019-19844)
// comes up in the first place.
//
// The domain is what DNS has: mapped by UTS 46 (letter case, width, compatibility forms, NFC; "ß" stays itself),
// validated by IDNA 2008 with the Bidi rule, STD 3 characters and hyphen checks, in A-label form ("xn--"). It has
// at least two labels; the last begins with a letter, so that no spelling of an IP address is one; no dot at its end.
func Normalize(s string) (string, error) {
	// Before anything looks at it: time and memory of all that follows are bounded by this (CVE-2025-61725).
	if len(s) > maxLen {
		return "", invalid("too long")
	}
	if !utf8.ValidString(s) { // package idna would take a bad byte for U+FFFD and accept that
		return "", invalid("not UTF-8")
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || strings.Contains(domain, "@") {
		return "", invalid("not one @")
	}
	if err := checkLocal(local); err != nil {
		return "", err
	}
	domain, err := normalizeDomain(domain)
	if err != nil {
		return "", err
	}
	canonical := strings.ToLower(local) + "@" + domain
	if len(canonical) > maxLen { // A-labels can be longer than what was typed
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
			return invalid("dot at an edge or twice in the local part")
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
	// Package idna maps some domains to ones that it then refuses itself.
	if again, err := profile.ToASCII(ascii); err != nil || again != ascii {
		return "", invalid("domain has no canonical spelling")
	}
	return ascii, checkDomain(ascii)
}

// checkDomain checks what the caller relies on, whatever the tables of package idna say.
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
			return invalid("hyphen at the edge of a label")
		}
		for i := range len(label) {
			if c := label[i]; !isLetter(c) && !isDigit(c) && c != '-' {
				return invalid("character in the domain")
			}
		}
	}
	// RFC 1123 section 2.1: the top label tells a name from an address. inet_aton also takes 0x7f for a number.
	if !isLetter(labels[len(labels)-1][0]) {
		return invalid("domain is a number")
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func invalid(reason string) error { return fmt.Errorf("%w: %s", ErrInvalid, reason) }
