package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkTexts trims every text setting. It refuses an empty value for a setting that has a default, control characters, and quotes that
// an environment file left around a value.
func (s *Settings) checkTexts() error {
	for field, fieldValue := range s.fields() {
		name := field.Tag.Get("env")
		kind := textKind(field.Tag.Get("text"))
		var err error
		switch value := fieldValue.Addr().Interface().(type) {
		case *string:
			*value = trim(*value)
			if *value == "" && field.Tag.Get("default") != "" {
				return fmt.Errorf("%s is empty: remove it, or set a value", name)
			}
			err = kind.check(*value)
		case *[]string:
			*value, err = kind.list(*value)
		}
		if err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	return nil
}

// trim removes white space around a value, including the line breaks of files and scripts.
func trim(value string) string { return strings.Trim(value, " \t\r\n") }

// textKind is the value of the tag text: which characters a text can have besides printable ASCII. "" means none, "spaces" spaces,
// "unicode" printable Unicode characters, "any" both.
type textKind string

func (k textKind) allowsSpaces() bool  { return k == "spaces" || k == "any" }
func (k textKind) allowsUnicode() bool { return k == "unicode" || k == "any" }

// check returns an error if the text has a character that is not allowed. The error does not contain the text, which can be a secret.
func (k textKind) check(text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) { // kong replaces invalid bytes by RuneError
		return errors.New("is not UTF-8")
	}
	for _, r := range text {
		switch {
		case k == "any" && (r == '\u200c' || r == '\u200d'): // joiners, which Persian, Hindi and emoji use
		case !unicode.IsPrint(r): // control and format characters, the byte order mark, all white space except the space
			return fmt.Errorf("contains the invisible character %U", r)
		case r == ' ' && !k.allowsSpaces():
			return errors.New("contains a space")
		case r > unicode.MaxASCII && !k.allowsUnicode():
			return fmt.Errorf("contains %U, which is not ASCII", r)
		}
	}
	if k.quoted(text) {
		return errors.New("has quotes around it: a shell removes them, but other readers of environment files do not")
	}
	return nil
}

// quoted reports whether an environment file left its quotes around a text. For "any", in which quotes can be valid, the same quote
// must be at both ends.
func (k textKind) quoted(text string) bool {
	const quotes = "\"'`"
	if text == "" {
		return false
	}
	first, last := text[:1], text[len(text)-1:]
	if k == "any" {
		return first == last && strings.Contains(quotes, first)
	}
	return strings.ContainsAny(first+last, quotes)
}

// list trims and checks the entries of a list. The list can be empty, but its entries cannot: an empty entry never means "all".
func (k textKind) list(entries []string) ([]string, error) {
	trimmed := make([]string, len(entries))
	for i, entry := range entries {
		trimmed[i] = trim(entry)
		if trimmed[i] == "" {
			return nil, errors.New("has an empty entry: separate the entries by one comma, as in one,two")
		}
		if err := k.check(trimmed[i]); err != nil {
			return nil, err
		}
	}
	return trimmed, nil
}

// readFiles reads the settings whose values are in files: each setting with a second field AUTH_..._FILE. A byte order mark and white
// space around the value are ignored.
func (s *Settings) readFiles() error {
	files := make(map[string]string) // by the name of the setting
	for field, value := range s.fields() {
		if name, isFile := strings.CutSuffix(field.Tag.Get("env"), "_FILE"); isFile {
			files[name] = value.String()
		}
	}
	for field, value := range s.fields() {
		name := field.Tag.Get("env")
		if files[name] == "" {
			continue
		}
		if value.String() != field.Tag.Get("default") {
			return fmt.Errorf("%s and %s_FILE are both set: set one of them", name, name)
		}
		text, err := readSettingFile(files[name])
		if err != nil {
			return fmt.Errorf("%s_FILE: %w", name, err)
		}
		value.SetString(text)
	}
	return nil
}

func readSettingFile(path string) (string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator chose the file
	if err != nil {
		return "", err
	}
	text := trim(string(bytes.TrimPrefix(content, []byte("\ufeff"))))
	if text == "" {
		return "", fmt.Errorf("the file %s is empty", path)
	}
	if err := textKind("any").check(text); err != nil {
		return "", fmt.Errorf("the content of the file %w", err)
	}
	return text, nil
}
