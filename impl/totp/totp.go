// Package totp makes and checks the codes of authenticator apps (TOTP, RFC 6238), and seals their secrets for the database.
package totp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

const (
	// secretSize is the length of a secret in bytes: that of the hash (RFC 4226 section 4, requirement R6).
	secretSize = 20
	// period is how long the app shows a code.
	period = 30 * time.Second
	// tolerance is how many periods the clock of the app may be ahead or behind (RFC 6238 section 5.2).
	tolerance = 1
)

// Secret is what the service and the authenticator app share. It is never printed: not by fmt, not in a log.
type Secret struct {
	// key is a function because fmt does not call the methods of a Secret in an unexported field of a printed value.
	key func() []byte
}

// NewSecret returns a random secret.
func NewSecret() (Secret, error) {
	key := make([]byte, secretSize)
	if _, err := rand.Read(key); err != nil {
		return Secret{}, fmt.Errorf("generate a TOTP secret: %w", err)
	}
	return secretOf(key), nil
}

func secretOf(key []byte) Secret { return Secret{key: func() []byte { return key }} }

// Base32 returns the secret in the form in which users type it into an app.
func (s Secret) Base32() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(s.key())
}

// Format writes a placeholder for every verb of fmt.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// MarshalText returns a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Step returns the number of the period that contains a time.
func Step(now time.Time) int64 { return now.Unix() / int64(period/time.Second) }

// StepStart returns when a period began.
func StepStart(step int64) time.Time { return time.Unix(step*int64(period/time.Second), 0) }

// Code returns the code of a step.
func (s Secret) Code(step int64) (string, error) {
	code, err := hotp.GenerateCodeCustom(s.Base32(), uint64(step), hotp.ValidateOpts{ //nolint:gosec // the time is after 1970
		Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return "", fmt.Errorf("compute a TOTP code: %w", err)
	}
	return code, nil
}

// Match returns the step whose code this is. ok is false if it is the code neither of the current step nor of one beside it. If two of them have
// the same code, step is the later one, so that the use of the code uses both.
//
// Clocks: a service whose clock is 5 s ahead or behind leaves the app as much less tolerance on one side, of 30 s.
func (s Secret) Match(code string, now time.Time) (step int64, ok bool, err error) {
	current := Step(now)
	for candidate := current - tolerance; candidate <= current+tolerance; candidate++ {
		want, err := s.Code(candidate)
		if err != nil {
			return 0, false, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = candidate, true // no early return: the time does not depend on which step matches
		}
	}
	return step, ok, nil
}
