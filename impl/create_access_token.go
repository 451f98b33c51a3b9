package impl

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/event"
)

// CreateAccessToken is the login by e-mail address and password: it starts a session on one device.
//
// An unknown address, a wrong password, an unconfirmed and a disabled account take the same path to the same response: one lookup, one
// computed hash, 404.
func (s *Service) CreateAccessToken(
	ctx context.Context, request api.CreateAccessTokenRequestObject,
) (api.CreateAccessTokenResponseObject, error) {
	body := request.Body
	email, err := address.Normalize(body.Email)
	var wrong []string
	if err != nil {
		wrong = append(wrong, "email")
	}
	if len(s.ClientIDs) > 0 && !slices.Contains(s.ClientIDs, body.ClientID) {
		wrong = append(wrong, "clientID")
	}
	if len(wrong) > 0 {
		return api.CreateAccessToken400JSONResponse{
			Code: 400, Message: api.CreateAccessTokenFailure400MessageBADPARAMETERS, Parameters: reject(ctx, wrong...),
		}, nil
	}

	session, err := s.attemptLogin(ctx, email, body.Password, s.login(body))
	if errors.Is(err, errWrongPassword) || errors.Is(err, errAccountChanged) {
		return api.CreateAccessToken404JSONResponse{Code: 404, Message: api.CreateAccessTokenFailure404MessageUSERNOTFOUND}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	tokens, err := s.tokens(ctx, session)
	if err == nil {
		event.Record(ctx, s.Log, event.LoginSucceeded)
	}
	return api.CreateAccessToken200JSONResponse(tokens), err
}
