package mail

import (
	"bytes"
	"fmt"
	"mime"
	"slices"
	"strings"
)

const (
	// maxHeaderLine is how long a header line should be at most: RFC 5322, 2.1.1; with encoded words, RFC 2047, 2.
	maxHeaderLine = 76
	// maxEncodedWord is how long an encoded word may be: RFC 2047, 2.
	maxEncodedWord = 75
)

// headerField returns a header field. It folds the field between words, so that no line is too long. A word that is too long for a line,
// such as a long address, is not split.
func headerField(name string, words ...string) string {
	var out strings.Builder
	out.WriteString(name + ":")
	length := out.Len()
	for i, word := range words {
		if i > 0 && length+1+len(word) > maxHeaderLine {
			out.WriteString("\r\n")
			length = 0
		}
		out.WriteString(" " + word)
		length += 1 + len(word)
	}
	out.WriteString("\r\n")
	return out.String()
}

// subjectWords returns a text as the words of a field such as Subject.
func subjectWords(text string) []string {
	if words := strings.Split(text, " "); arePlain(words) {
		return words
	}
	return encodedWords(text, len("Subject: "))
}

// mailboxWords returns a sender as the words of a field such as From.
func mailboxWords(name, address string) []string {
	address = "<" + address + ">"
	if name == "" {
		return []string{address}
	}
	quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	words := strings.Split(quoted, " ")
	if arePlain(strings.Split(name, " ")) && arePlain(words) {
		return append(words, address)
	}
	return append(encodedWords(name, len("From: ")), address)
}

// arePlain reports whether words can be in a header without encoding: short, of printable ASCII, unlike an encoded word, and
// with one space between two, because some programs shorten runs of spaces.
func arePlain(words []string) bool {
	const long = maxHeaderLine / 2
	return !slices.ContainsFunc(words, func(word string) bool {
		return word == "" || len(word) > long || strings.Contains(word, "=?") ||
			strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r > '~' })
	})
}

// encodedWords returns a text as encoded words (RFC 2047). The first line has before bytes in front of its word. No character is split
// between two words. The characters that are not encoded are allowed in a display name, too (section 5, 3). Some programs wrongly show the
// space between two encoded words, so the text becomes one word if either encoding is short enough.
func encodedWords(text string, before int) (words []string) {
	const begin, end = "=?UTF-8?q?", "?="
	const unencoded = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/"
	limit := min(maxEncodedWord, maxHeaderLine-before)
	room := limit - len(begin+end)
	base64 := mime.BEncoding.Encode("UTF-8", text)
	var word strings.Builder
	for _, r := range text {
		var encoded string
		switch {
		case r == ' ':
			encoded = "_"
		case strings.ContainsRune(unencoded, r):
			encoded = string(r)
		default:
			for _, b := range []byte(string(r)) {
				encoded += fmt.Sprintf("=%02X", b)
			}
		}
		if word.Len()+len(encoded) > room {
			words = append(words, begin+word.String()+end)
			word.Reset()
			room = maxEncodedWord - len(begin+end)
		}
		word.WriteString(encoded)
	}
	if len(words) > 0 && len(base64) <= limit && strings.HasPrefix(base64, "=?") {
		return []string{base64}
	}
	return append(words, begin+word.String()+end)
}

// replaceHeader adds fields to the beginning of a mail and removes its fields of the same names.
func replaceHeader(data []byte, fields ...string) []byte {
	var out bytes.Buffer
	named := make(map[string]bool)
	for _, field := range fields {
		out.WriteString(field)
		name, _, _ := strings.Cut(field, ":")
		named[name] = true
	}
	head, body, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	dropped := false
	for line := range strings.Lines(string(head) + "\r\n") {
		if line[0] != ' ' { // not the continuation of a field
			name, _, _ := strings.Cut(line, ":")
			dropped = named[name]
		}
		if !dropped {
			out.WriteString(line)
		}
	}
	out.WriteString("\r\n")
	out.Write(body)
	return out.Bytes()
}
