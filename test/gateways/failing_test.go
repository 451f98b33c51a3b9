//go:build gateways

package gateways

import (
	"context"
	"time"

	"github.com/financelime/authorization/api"
)

// failing implements the operations. Each returns err.
type failing struct {
	api.StrictServerInterface

	err error
}

type unavailableError struct{ error }

func (unavailableError) RetryAfter() time.Duration { return 7 * time.Second }

func (f failing) Signup(context.Context, api.SignupRequestObject) (api.SignupResponseObject, error) {
	return nil, f.err
}

func (f failing) UserPasswordReset(context.Context, api.UserPasswordResetRequestObject) (api.UserPasswordResetResponseObject, error) {
	return nil, f.err
}

func (f failing) ConfirmUserEmail(context.Context, api.ConfirmUserEmailRequestObject) (api.ConfirmUserEmailResponseObject, error) {
	return nil, f.err
}

func (f failing) OpenLink(context.Context, api.OpenLinkRequestObject) (api.OpenLinkResponseObject, error) {
	return nil, f.err
}

func (f failing) UseLink(context.Context, api.UseLinkRequestObject) (api.UseLinkResponseObject, error) {
	return nil, f.err
}

func (f failing) CreateAccessToken(context.Context, api.CreateAccessTokenRequestObject) (api.CreateAccessTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) RefreshAccessToken(context.Context, api.RefreshAccessTokenRequestObject) (api.RefreshAccessTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) VerifyAccessToken(context.Context, api.VerifyAccessTokenRequestObject) (api.VerifyAccessTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) GetListActiveSessions(context.Context, api.GetListActiveSessionsRequestObject) (api.GetListActiveSessionsResponseObject, error) {
	return nil, f.err
}

func (f failing) RevokeRefreshToken(context.Context, api.RevokeRefreshTokenRequestObject) (api.RevokeRefreshTokenResponseObject, error) {
	return nil, f.err
}

func (f failing) RevokeSession(context.Context, api.RevokeSessionRequestObject) (api.RevokeSessionResponseObject, error) {
	return nil, f.err
}

func (f failing) RevokeOtherSessions(context.Context, api.RevokeOtherSessionsRequestObject) (api.RevokeOtherSessionsResponseObject, error) {
	return nil, f.err
}

func (f failing) GetUser(context.Context, api.GetUserRequestObject) (api.GetUserResponseObject, error) {
	return nil, f.err
}

func (f failing) StepUpSession(context.Context, api.StepUpSessionRequestObject) (api.StepUpSessionResponseObject, error) {
	return nil, f.err
}

func (f failing) DeleteUser(context.Context, api.DeleteUserRequestObject) (api.DeleteUserResponseObject, error) {
	return nil, f.err
}

func (f failing) ExportUserData(context.Context, api.ExportUserDataRequestObject) (api.ExportUserDataResponseObject, error) {
	return nil, f.err
}

func (f failing) ChangeUserPassword(context.Context, api.ChangeUserPasswordRequestObject) (api.ChangeUserPasswordResponseObject, error) {
	return nil, f.err
}

func (f failing) RequestEmailChange(context.Context, api.RequestEmailChangeRequestObject) (api.RequestEmailChangeResponseObject, error) {
	return nil, f.err
}

func (f failing) CancelEmailChange(context.Context, api.CancelEmailChangeRequestObject) (api.CancelEmailChangeResponseObject, error) {
	return nil, f.err
}

func (f failing) CreateAccessTokenBySecondFactor(context.Context, api.CreateAccessTokenBySecondFactorRequestObject) (api.CreateAccessTokenBySecondFactorResponseObject, error) {
	return nil, f.err
}

func (f failing) BeginPasskeyLogIn(context.Context, api.BeginPasskeyLogInRequestObject) (api.BeginPasskeyLogInResponseObject, error) {
	return nil, f.err
}

func (f failing) CreateAccessTokenByPasskey(context.Context, api.CreateAccessTokenByPasskeyRequestObject) (api.CreateAccessTokenByPasskeyResponseObject, error) {
	return nil, f.err
}

func (f failing) BeginTotp(context.Context, api.BeginTotpRequestObject) (api.BeginTotpResponseObject, error) {
	return nil, f.err
}

func (f failing) ConfirmTotp(context.Context, api.ConfirmTotpRequestObject) (api.ConfirmTotpResponseObject, error) {
	return nil, f.err
}

func (f failing) RemoveTotp(context.Context, api.RemoveTotpRequestObject) (api.RemoveTotpResponseObject, error) {
	return nil, f.err
}

func (f failing) TurnOnSecondFactor(context.Context, api.TurnOnSecondFactorRequestObject) (api.TurnOnSecondFactorResponseObject, error) {
	return nil, f.err
}

func (f failing) TurnOffSecondFactor(context.Context, api.TurnOffSecondFactorRequestObject) (api.TurnOffSecondFactorResponseObject, error) {
	return nil, f.err
}

func (f failing) RenewRecoveryCodes(context.Context, api.RenewRecoveryCodesRequestObject) (api.RenewRecoveryCodesResponseObject, error) {
	return nil, f.err
}

func (f failing) ListPasskeys(context.Context, api.ListPasskeysRequestObject) (api.ListPasskeysResponseObject, error) {
	return nil, f.err
}

func (f failing) BeginPasskey(context.Context, api.BeginPasskeyRequestObject) (api.BeginPasskeyResponseObject, error) {
	return nil, f.err
}

func (f failing) AddPasskey(context.Context, api.AddPasskeyRequestObject) (api.AddPasskeyResponseObject, error) {
	return nil, f.err
}

func (f failing) RenamePasskey(context.Context, api.RenamePasskeyRequestObject) (api.RenamePasskeyResponseObject, error) {
	return nil, f.err
}

func (f failing) RemovePasskey(context.Context, api.RemovePasskeyRequestObject) (api.RemovePasskeyResponseObject, error) {
	return nil, f.err
}

// withoutPasskeys implements the operations that respond with 404 if the service has no domain for passkeys.
type withoutPasskeys struct{ api.StrictServerInterface }

func noPasskeys() api.NotFoundJSONResponse {
	return api.NotFoundJSONResponse{Code: 404, Message: api.CommonFailureMessageN404NotFound}
}

func (withoutPasskeys) BeginPasskey(context.Context, api.BeginPasskeyRequestObject) (api.BeginPasskeyResponseObject, error) {
	return api.BeginPasskey404JSONResponse{NotFoundJSONResponse: noPasskeys()}, nil
}

func (withoutPasskeys) AddPasskey(context.Context, api.AddPasskeyRequestObject) (api.AddPasskeyResponseObject, error) {
	return api.AddPasskey404JSONResponse{NotFoundJSONResponse: noPasskeys()}, nil
}

func (withoutPasskeys) BeginPasskeyLogIn(context.Context, api.BeginPasskeyLogInRequestObject) (api.BeginPasskeyLogInResponseObject, error) {
	return api.BeginPasskeyLogIn404JSONResponse{NotFoundJSONResponse: noPasskeys()}, nil
}
