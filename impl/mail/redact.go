package mail

import (
	"strings"
	"unicode"
)

// redact returns an error as a text that can be stored and logged. Relays quote the recipient's address, and spam filters quote links of
// the message. So redact replaces every word that contains an address or a link, and every given secret. The result is one line of valid
// UTF-8 (PostgreSQL refuses other bytes and NUL) of limited length.
func redact(err error, secrets ...string) string {
	const (
		mask   = "[...]"
		maxLen = 400
	)
	text := strings.ToValidUTF8(err.Error(), "?")
	for _, secret := range secrets {
		if secret != "" {
			text = replaceFold(text, secret, mask)
		}
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	for i, word := range words {
		if strings.Contains(word, "@") || strings.Contains(word, "://") || strings.Contains(word, "/u/") || strings.Contains(word, "/l/") {
			words[i] = mask
		}
	}
	text = strings.Join(words, " ")
	if len(text) > maxLen {
		text = strings.ToValidUTF8(text[:maxLen], "") + "..."
	}
	return text
}

// replaceFold replaces an ASCII text in any letter case.
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
