package mail

import (
	"strings"
	"unicode"
)

// clean makes an error fit to be stored and logged. Mail relays quote what they refuse: the recipient's address, and
// spam filters also links out of the message. So every word that is or looks like an address or a link is blotted out,
// as is every given secret. What is left is one line of valid UTF-8 (PostgreSQL refuses other bytes and NUL) of bounded
// length.
func redact(err error, secrets ...string) string {
	const (
		blot   = "[...]"
		maxLen = 400
	)
	text := strings.ToValidUTF8(err.Error(), "?")
	for _, secret := range secrets {
		if secret != "" {
			text = replaceFold(text, secret, blot)
		}
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	for i, word := range words {
		if strings.Contains(word, "@") || strings.Contains(word, "://") || strings.Contains(word, "/u/") {
			words[i] = blot
		}
	}
	text = strings.Join(words, " ")
	if len(text) > maxLen {
		text = strings.ToValidUTF8(text[:maxLen], "") + "..."
	}
	return text
}

// replaceFold replaces an ASCII text in whatever letter case it comes.
func replaceFold(text, old, replacement string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		if end := i + len(old); end <= len(text) && strings.EqualFold(text[i:end], old) {
			out.WriteString(replacement)
			i = end
			continue
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}
