package token

import (
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// ErrInvalid means that a text is not a token of this service, or that the token has expired. The reason in the error is only for
// logs: it contains nothing of the token, and callers get no reason (RFC 6750 section 3.1).
var ErrInvalid = errors.New("invalid token")

func invalid(reason string) error { return fmt.Errorf("%w: %s", ErrInvalid, reason) }

// OtherIssuerError means that a token of this service names another issuer: the setting was changed after the token was issued.
type OtherIssuerError struct{ Issuer string }

func (e *OtherIssuerError) Error() string { return ErrInvalid.Error() + ": another issuer" }

// Unwrap makes the error match [ErrInvalid].
func (e *OtherIssuerError) Unwrap() error { return ErrInvalid }

// Reason returns the reason that the log gives for refusing the token.
func (e *OtherIssuerError) Reason() string { return "other_issuer" }

// RefusalReason returns the reason that the log gives for refusing a token: that of err if it has one, or else the default.
func RefusalReason(err error, byDefault string) string {
	if other, is := errors.AsType[*OtherIssuerError](err); is {
		return other.Reason()
	}
	return byDefault
}

// otherIssuer returns an [OtherIssuerError] if a token with a valid signature was refused for its issuer, and otherwise nil.
func (c Config) otherIssuer(err error, issuer string) error {
	if !errors.Is(err, jwt.ErrTokenInvalidIssuer) || errors.Is(err, jwt.ErrTokenSignatureInvalid) || issuer == "" {
		return nil
	}
	if c.OtherIssuer != nil {
		c.OtherIssuer(issuer)
	}
	return &OtherIssuerError{Issuer: issuer}
}

// parseError converts an error of golang-jwt, which can quote the token, to an ErrInvalid that does not.
func parseError(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return invalid("expired")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return invalid("signature")
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return invalid("claims")
	default:
		return invalid("form")
	}
}
