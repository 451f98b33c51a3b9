package token

import (
	"slices"
	"strings"
	"time"
)

// The authentication method reference values (RFC 8176) of the claim amr.
const (
	Password         = "pwd"
	OneTimePassword  = "otp"  // a code of an authenticator app, or a recovery code
	HardwareKey      = "hwk"  // a passkey that cannot leave its authenticator
	SoftwareKey      = "swk"  // a passkey that can be copied to other devices
	UserVerification = "user" // the authenticator has verified the user
	MultiFactor      = "mfa"
)

// The authentication assurance levels (NIST SP 800-63B-4 section 2) of the claim acr.
const (
	AAL1 = "aal1" // one factor
	AAL2 = "aal2" // two factors
)

// Authentication is how a user has last proved their identity in a session. Only a proof changes it, never a refresh.
type Authentication struct {
	Time    time.Time // auth_time
	Methods []string  // amr
}

// ParseMethods returns the methods in a text, which separates them by spaces, as in the claim scope (RFC 8693 section 4.2).
func ParseMethods(text string) []string { return strings.Fields(text) }

// FormatMethods is the inverse of [ParseMethods]. It omits duplicates.
func FormatMethods(methods ...string) string {
	var unique []string
	for _, m := range methods {
		if !slices.Contains(unique, m) {
			unique = append(unique, m)
		}
	}
	return strings.Join(unique, " ")
}

// Level returns the authentication assurance level.
func (a Authentication) Level() string {
	if slices.Contains(a.Methods, MultiFactor) {
		return AAL2
	}
	return AAL1
}
