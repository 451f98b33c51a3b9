package impl

import (
	"errors"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/password"
)

// errNoPassword means that a text cannot be a password: the response is 400, not 422.
var errNoPassword = errors.New("the text cannot be a password")

// refusePassword returns why the policy refuses a password that the user with this address has chosen; "" if it allows the password. It fails
// with errNoPassword.
func (s *Service) refusePassword(chosen, email string) (api.ChangeUserPasswordFailure422Message, error) {
	switch err := s.PasswordPolicy.Check(chosen, email); {
	case err == nil:
		return "", nil
	case errors.Is(err, password.ErrTooShort):
		return api.ChangeUserPasswordFailure422MessagePASSWORDTOOSHORT, nil
	case errors.Is(err, password.ErrKnown):
		return api.ChangeUserPasswordFailure422MessagePASSWORDKNOWN, nil
	case errors.Is(err, password.ErrGuessable):
		return api.ChangeUserPasswordFailure422MessagePASSWORDGUESSABLE, nil
	case errors.Is(err, password.ErrControlCharacter), errors.Is(err, password.ErrTooLong), errors.Is(err, password.ErrNotUTF8):
		return "", errNoPassword
	default:
		return "", fmt.Errorf("check the chosen password: %w", err)
	}
}
