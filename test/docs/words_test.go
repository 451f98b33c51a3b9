package docs

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// words maps words that are not used in this repository to the ones that are. Readers look terms up: each thing has one name, the standard one.
var words = map[string]string{
	`can not`:                  "cannot",
	`log-ins?|LogIn\w*|log_in`: "login (noun), log in (verb)",
	`whoever|whosoever`:        "the one who, or the role: caller, user, recipient",
	`his|him|he`:               "they",
	`housekeeping`:             "cleanup",
	`stragglers?`:              "late refresh",
	`held against|is the law`:  "validated against, source of truth",
	`armed|disarmed|disarm`:    "pending password",
	`at once`:                  "immediately, or at the same time",
}

// allowed are the files in which a word may appear, such as migrations, which never change after their commit.
var allowed = regexp.MustCompile(`^schema/0000|^schema/0001[01]|\.gen\.go$|^tools/node/|package-lock\.json$|^test/docs/words_test\.go$|/messages/|\.ru\.|^LICENSE$|go\.sum$`)

// TestWords expects no file to use a word that has a standard replacement.
func TestWords(t *testing.T) {
	t.Parallel()
	list, err := exec.CommandContext(t.Context(), "git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	patterns := map[*regexp.Regexp]string{}
	for word, instead := range words {
		patterns[regexp.MustCompile(`\b(`+word+`)\b`)] = instead
	}
	for file := range strings.Lines(string(list)) {
		file = strings.TrimSpace(file)
		if allowed.MatchString(file) {
			continue
		}
		content, err := os.ReadFile("../../" + file)
		if err != nil || bytes.ContainsRune(content, 0) {
			continue // deleted, or not a text
		}
		number := 0
		for line := range strings.Lines(string(content)) {
			number++
			for pattern, instead := range patterns {
				if found := pattern.FindString(line); found != "" {
					t.Errorf("%s:%d: %q: write %s", file, number, found, instead)
				}
			}
		}
	}
}
