package mail

import (
	"bytes"
	"fmt"
	"mime"
	"slices"
	"strings"
)

const (
	// maxHeaderLine is how long a line of a header should be at most: RFC 5322, 2.1.1; with encoded words in it, RFC 2047, 2.
	maxHeaderLine = 76
	// maxEncodedWord is how long an encoded word may be: RFC 2047, 2.
	maxEncodedWord = 75
)

// headerField writes one field: its words, with a line break between two where the line would be too long otherwise. A word that
// is too long for a line, as a long address, stays whole.
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

// subjectWords is a text as the words of a field such as Subject.
func subjectWords(text string) []string {
	if words := strings.Split(text, " "); arePlain(words) {
		return words
	}
	return encodedWords(text, len("Subject: "))
}

// mailboxWords is a sender as the words of a field such as From.
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

// arePlain reports whether words may stand in a header as they are: short, of printable ASCII, not like an encoded word, and
// with one blank between two, because some programs shorten runs of blanks.
func arePlain(words []string) bool {
	const long = maxHeaderLine / 2
	return !slices.ContainsFunc(words, func(word string) bool {
		return word == "" || len(word) > long || strings.Contains(word, "=?") ||
			strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r > '~' })
	})
}

// encodedWords is a text as encoded words (RFC 2047), the first of which has a field's name before it in its line. No character
// is split between two. The characters that stay as they are may stand in a display name too (section 5, 3). Some programs leave
// blanks between two words that should go, so a text is one word if either encoding makes it one.
func encodedWords(text string, before int) (words []string) {
	const begin, end = "=?UTF-8?q?", "?="
	const asTheyAre = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/"
	most := min(maxEncodedWord, maxHeaderLine-before)
	room := most - len(begin+end)
	base64 := mime.BEncoding.Encode("UTF-8", text)
	var word strings.Builder
	for _, r := range text {
		var encoded string
		switch {
		case r == ' ':
			encoded = "_"
		case strings.ContainsRune(asTheyAre, r):
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
	if len(words) > 0 && len(base64) <= most && strings.HasPrefix(base64, "=?") {
		return []string{base64}
	}
	return append(words, begin+word.String()+end)
}

// replaceHeader puts fields before a mail and takes its own ones of the same names away.
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
		if line[0] != ' ' { // not the rest of a field
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
