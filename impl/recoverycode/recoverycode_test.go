package recoverycode_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/recoverycode"
)

// 100 sets have different codes, of the form in openapi.yaml, in which every letter occurs.
func TestNew(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){5}$`)
	seen, letters := make(map[string]bool), make(map[rune]bool)
	for range 100 {
		codes, err := recoverycode.New()
		if err != nil || len(codes) != recoverycode.Count {
			t.Fatalf("%d codes, %v", len(codes), err)
		}
		for _, code := range codes {
			if !form.MatchString(code) || seen[code] {
				t.Errorf("the code %s", code)
			}
			seen[code] = true
			for _, letter := range code {
				letters[letter] = true
			}
		}
	}
	if len(letters) != 33 {
		t.Errorf("%d letters of 32 and the hyphen occur", len(letters))
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	const code = "01QK-9M2X-A0VR-J8TB-3HWN-5CE1"
	want := recoverycode.Hash(code)
	for name, typed := range map[string]string{
		"small letters": strings.ToLower(code), "no hyphens": strings.ReplaceAll(code, "-", ""), "blanks": " 01QK 9M2X A0VR J8TB\t3HWN\u00a05CE1\n",
		"dashes": strings.ReplaceAll(code, "-", "–"), "letters that look like digits": "oIqk-9m2x-aOvr-j8tb-3hwn-5cel",
	} {
		if !bytes.Equal(recoverycode.Hash(typed), want) {
			t.Errorf("%s: %q is another code", name, typed)
		}
	}
	for _, other := range []string{"", "01QK", "11QK-9M2X-A0VR-J8TB-3HWN-5CE1", code + "0", "Ø1QK-9M2X-A0VR-J8TB-3HWN-5CE1", "01QK_9M2X_A0VR_J8TB_3HWN_5CE1"} {
		if bytes.Equal(recoverycode.Hash(other), want) {
			t.Errorf("%q is the same code", other)
		}
	}
}
