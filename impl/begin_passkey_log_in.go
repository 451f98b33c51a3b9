package impl

import (
	"context"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/token"
)

// BeginPasskeyLogIn begins a login with a passkey: it returns the options for the browser. They are the same for all users, and nothing is
// stored: passkeys are discoverable, so the service need not know who wants to log in (keycloak#17629).
func (s *Service) BeginPasskeyLogIn(context.Context, api.BeginPasskeyLogInRequestObject) (api.BeginPasskeyLogInResponseObject, error) {
	if s.Passkeys == nil {
		return api.BeginPasskeyLogIn404JSONResponse{NotFoundJSONResponse: noPasskeys()}, nil
	}
	options, data, err := s.Passkeys.BeginLogin()
	if err != nil {
		return nil, err
	}
	ceremony, err := s.issueCeremony(token.CeremonyLogIn, uuid.Nil, uuid.Nil, data)
	return api.BeginPasskeyLogIn200JSONResponse{Ceremony: ceremony, Options: options}, err
}
