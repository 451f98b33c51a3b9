package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/address"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/locale"
	"github.com/financelime/authorization/impl/reqinfo"
)

// Signup creates an unconfirmed account and enqueues a mail with a confirmation link.
func (s *Service) Signup(ctx context.Context, request api.SignupRequestObject) (api.SignupResponseObject, error) {
	email, err := address.Normalize(request.Body.Email)
	code := request.Body.InviteCode
	var wrong []string
	if err != nil {
		wrong = append(wrong, "email")
	}
	if code == "" && s.InviteRequired {
		wrong = append(wrong, "inviteCode")
	}
	if len(wrong) > 0 {
		return api.Signup400JSONResponse{
			Code: 400, Message: api.SignUpFailure400MessageBADPARAMETERS, Parameters: reject(ctx, wrong...),
		}, nil
	}
	language := locale.Primary(request.Body.Language) // openapi.yaml lists the languages

	accountID := newID()
	choosePassword := request.Body.ChoosePassword != nil && *request.Body.ChoosePassword
	err = s.signUp(ctx, db.InsertAccountParams{ID: accountID, Email: email, Language: language}, code, choosePassword)
	s.logSignUp(ctx, accountID, err)
	switch {
	case errors.Is(err, errInviteNotFound):
		return api.Signup404JSONResponse{Code: 404, Message: api.SignUpFailure404MessageINVITENOTFOUND}, nil
	case errors.Is(err, errUserExists):
		return api.Signup409JSONResponse{Code: 409, Message: api.SignUpFailure409MessageUSERALREADYEXIST}, nil
	case errors.Is(err, errInviteExhausted):
		return api.Signup409JSONResponse{Code: 409, Message: api.SignUpFailure409MessageINVITEHASENDED}, nil
	case err != nil:
		return nil, fmt.Errorf("sign up: %w", err)
	}
	s.MailQueued()
	return api.Signup204Response{}, nil
}

// logSignUp logs how a sign-up ended, and whether its invite is unknown or exhausted.
func (s *Service) logSignUp(ctx context.Context, accountID uuid.UUID, err error) {
	switch {
	case err == nil:
		event.Record(ctx, s.Log, event.SignUpAccepted, event.Account(accountID))
	case errors.Is(err, errInviteNotFound):
		event.Record(ctx, s.Log, event.InviteUnknown)
		event.Record(ctx, s.Log, event.SignUpRefused, event.Reason("invite_not_found"))
	case errors.Is(err, errUserExists):
		event.Record(ctx, s.Log, event.SignUpRefused, event.Reason("address_taken"))
	case errors.Is(err, errInviteExhausted):
		if exhausted, ok := errors.AsType[exhaustedError](err); ok {
			event.Record(ctx, s.Log, event.InviteExhausted, slog.String("invite_id", exhausted.inviteID.String()))
		}
		event.Record(ctx, s.Log, event.SignUpRefused, event.Reason("invite_has_ended"))
	}
}

// signUp creates the account in one transaction, or fails with errInviteNotFound, errUserExists or errInviteExhausted. These refusals count
// towards the limits and change nothing else. Any other error changes nothing at all.
//
// Sign-ups with an invite code from one client IP run one after another, because the limit of unknown codes is locked. So parallel guesses
// gain nothing over sequential ones, and a valid code is never counted.
func (s *Service) signUp(ctx context.Context, account db.InsertAccountParams, code string, choosePassword bool) error {
	clientIP := reqinfo.FromContext(ctx).Addr
	signUps, unknownCodes := s.Limits.ClientIPQuota(limit.SignUpSource, clientIP), limit.Quota{}
	if code != "" {
		unknownCodes = s.Limits.ClientIPQuota(limit.InviteSource, clientIP)
	}
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), signUps, unknownCodes); err != nil {
		return err
	}
	unlock, err := s.Limits.Serialize(ctx, signUps)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.Limits.Check(ctx, s.Store, s.Clock.Now(), signUps, unknownCodes); err != nil { // earlier requests may have used it up
		return err
	}
	var refusal error
	err = s.Store.InTx(ctx, func(q *db.Queries) error {
		now := s.Clock.Now()
		if err := s.Limits.Take(ctx, q, now, signUps); err != nil {
			return err
		}
		unknownCode, err := s.Limits.Lock(ctx, q, now, unknownCodes)
		if err != nil {
			return err
		}
		err = s.createAccount(ctx, q, account, code, choosePassword, now)
		switch refusal = nil; {
		case errors.Is(err, errInviteNotFound):
			refusal = err
			return unknownCode.Take(ctx, q)
		case errors.Is(err, errUserExists), errors.Is(err, errInviteExhausted):
			refusal = err
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return refusal
}
