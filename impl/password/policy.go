package password

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/financelime/authorization/impl/password/known"
)

const (
	// DefaultMinLength is the minimum length of a chosen password: NIST SP 800-63B-4 requires it where the password is the only factor.
	DefaultMinLength = 15
	// MaxCodePoints is the maximum length of a chosen password, as in openapi.yaml.
	MaxCodePoints = 256

	minLeft = 8 // code points that must be left without the address and the names
)

// Reasons why Check refuses a password that the user can correct (422).
var (
	// ErrTooShort means that a password has fewer code points than the policy requires.
	ErrTooShort = errors.New("the password is too short")
	// ErrKnown means that a password is in a list of known passwords.
	ErrKnown = errors.New("the password is in a list of known passwords")
	// ErrGuessable means that little of a password is left without repetitions, sequences, the user's address and the name of the service.
	ErrGuessable = errors.New("the password is easy to guess")
)

// ErrControlCharacter means that a password has a control character or a line break (400). Many input fields cannot enter them again.
var ErrControlCharacter = errors.New("the password contains a control character")

// Policy decides which passwords users can choose (NIST SP 800-63B-4 section 3.1.1.2). There are no rules about kinds of characters. The zero
// value is the default policy. It is safe for concurrent use.
type Policy struct {
	MinLength int         // in code points after NFC; 0: DefaultMinLength
	Names     []string    // what is easy to guess in this service: its name, the host of its URL
	Blocklist *known.List // passwords to refuse beside those of the built-in list; nil: none
}

// Check returns nil if a user with this address can choose the password. Otherwise it returns ErrTooShort, ErrKnown or ErrGuessable (422), or
// ErrNotUTF8, ErrControlCharacter or ErrTooLong (400; openapi.yaml refuses most of them earlier). Any other error means that the blocklist
// cannot be read.
//
// Check normalizes the password itself, as Hash and Match do. It hashes nothing and takes less than a millisecond for every input.
func (p *Policy) Check(newPassword, emailAddress string) error {
	switch {
	case !utf8.ValidString(newPassword):
		return ErrNotUTF8
	case utf8.RuneCountInString(newPassword) > MaxCodePoints:
		return ErrTooLong
	}
	password := Normalize(newPassword)
	length := utf8.RuneCountInString(password)
	switch {
	case strings.ContainsFunc(password, isControl):
		return ErrControlCharacter
	case length > MaxCodePoints: // some characters have a longer NFC
		return ErrTooLong
	case length < p.Minimum():
		return ErrTooShort
	}
	if found, err := p.isKnown(password); err != nil {
		return err
	} else if found {
		return ErrKnown
	}
	return p.checkGuessable(password, emailAddress)
}

// Minimum returns the minimum length of a password in code points.
func (p *Policy) Minimum() int {
	if p.MinLength == 0 {
		return DefaultMinLength
	}
	return p.MinLength
}

// isKnown reports whether a normalized password is in a list of known passwords.
func (p *Policy) isKnown(password string) (bool, error) {
	for _, list := range []*known.List{known.BuiltIn(), p.Blocklist} {
		if list == nil {
			continue
		}
		if found, err := list.Contains(password); err != nil {
			return false, fmt.Errorf("list of known passwords: %w", err)
		} else if found {
			return true, nil
		}
	}
	return false, nil
}

// checkGuessable returns ErrGuessable if too little of a normalized password is left without what is easy to guess.
func (p *Policy) checkGuessable(password, emailAddress string) error {
	text := []rune(strings.ToLower(password))
	words := guessableWords(emailAddress, p.Names)
	if unpredictable(text, words, false) < minLeft {
		return ErrGuessable
	}
	// Short passwords, which an operator can allow, often have a sequence such as "123". Half of the password must be something else.
	if unpredictable(text, words, true) < min(minLeft, (p.Minimum()+1)/2) {
		return ErrGuessable
	}
	if unit, repeated := repeatedUnit(text); repeated {
		if found, err := p.isKnown(string(unit)); err != nil {
			return err
		} else if found {
			return ErrGuessable
		}
	}
	return nil
}

// Normalize returns the form of a password that is hashed and compared: NFC, and nothing else. Hash and Match normalize too, so a caller needs
// it only to compare passwords itself. ASCII is its own NFC: passwords that the service mailed do not change.
func Normalize(password string) string { return norm.NFC.String(password) }

// isControl reports whether a character is not part of a line of text. All others are allowed, also characters that Unicode has assigned after
// this version was built, and the joiners and marks of emoji and scripts.
func isControl(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }
