package impl

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/token"
)

// CreateAccessToken is the login by e-mail address and password: it starts a session on one device.
//
// An unknown address, a wrong password, an unconfirmed and a disabled account take the same path to the same response: one lookup, one
// computed hash, 404. With a right password of an account that needs a second factor, nothing is written, and the failures are not forgotten:
// the response has a ticket.
func (s *Service) CreateAccessToken(
	ctx context.Context, request api.CreateAccessTokenRequestObject,
) (api.CreateAccessTokenResponseObject, error) {
	body := request.Body
	email, err := address.Normalize(body.Email)
	var wrong []string
	if err != nil {
		wrong = append(wrong, "email")
	}
	if !s.allowsClient(body.ClientID) {
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
	if required, ok := errors.AsType[*secondFactorRequiredError](err); ok {
		return s.requireSecondFactor(ctx, required, body)
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

// allowsClient reports whether a client may log in.
func (s *Service) allowsClient(id string) bool {
	return len(s.ClientIDs) == 0 || slices.Contains(s.ClientIDs, id)
}

// requireSecondFactor returns the response to a right password of an account that needs a second factor. It has the ticket with which
// CreateAccessTokenBySecondFactor completes the login.
func (s *Service) requireSecondFactor(
	ctx context.Context, required *secondFactorRequiredError, body *api.CreateAccessTokenRequest,
) (api.CreateAccessTokenResponseObject, error) {
	account := required.account
	passkey, err := s.secondFactorRequest(ctx, s.Store.Read(), account)
	if err != nil {
		return nil, fmt.Errorf("begin the ceremony of a passkey: %w", err)
	}
	has, err := s.secondFactors(ctx, s.Store.Read(), account)
	if err != nil {
		return nil, err
	}
	ticket, err := s.Tickets.Issue(token.Ticket{
		AccountID: account.ID, PasswordDigest: passwordDigest(required.verified.hash),
		ClientID: body.ClientID, Platform: deref(body.Device.Platform),
	})
	if err != nil {
		return nil, fmt.Errorf("issue a ticket: %w", err)
	}
	var methods []api.SecondFactorMethod
	if passkey != nil {
		methods = append(methods, api.SecondFactorMethodPasskey)
	}
	if has.Totp > 0 {
		methods = append(methods, api.SecondFactorMethodTotp)
	}
	// The contract wants at least one: a user whose passkeys are for an older domain and who has no codes left needs an operator.
	if has.RecoveryCodes > 0 || len(methods) == 0 {
		methods = append(methods, api.SecondFactorMethodRecoveryCode)
	}
	event.Record(ctx, s.Log, event.LoginSecondFactorRequired, event.Account(account.ID))
	return api.CreateAccessToken403JSONResponse{
		Code: 403, Message: api.CreateAccessTokenFailure403MessageSECONDFACTORREQUIRED,
		Ticket: ticket, Methods: methods, Passkey: passkey,
	}, nil
}
