package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/token"
)

// errPasskeyKnown means that a user has the passkey already.
var errPasskeyKnown = errors.New("a user has this passkey")

// AddPasskey stores the passkey that the browser has created. It does not turn the second factor on: a login by password does not ask for it.
func (s *Service) AddPasskey(ctx context.Context, request api.AddPasskeyRequestObject) (api.AddPasskeyResponseObject, error) {
	claims, err := principal(ctx)
	if err != nil {
		return nil, err
	}
	if s.Passkeys == nil {
		return api.AddPasskey404JSONResponse{NotFoundJSONResponse: noPasskeys()}, nil
	}
	if isBlank(request.Body.Name) {
		return badPasskey(ctx, "name"), nil
	}
	var added db.Passkey
	now := s.Clock.Now()
	err = s.Store.InTx(ctx, func(q *db.Queries) (err error) {
		added, err = s.addPasskeyTx(ctx, q, claims, request.Body, now)
		return err
	})
	switch {
	case errors.Is(err, passkey.ErrInvalid):
		return badPasskey(ctx, "credential"), nil
	case errors.Is(err, token.ErrInvalid), errors.Is(err, errCeremonyUsed):
		return addPasskeyConflict(api.AddPasskeyFailure409MessageCEREMONYEXPIRED), nil
	case errors.Is(err, errTooManyPasskeys):
		return addPasskeyConflict(api.AddPasskeyFailure409MessageTOOMANYPASSKEYS), nil
	case errors.Is(err, errPasskeyKnown), errors.Is(err, db.ErrConflict): // the latter: another user has added it at the same time
		return addPasskeyConflict(api.AddPasskeyFailure409MessagePASSKEYALREADYADDED), nil
	case err != nil:
		return nil, fmt.Errorf("add a passkey: %w", err)
	}
	s.MailQueued()
	event.Record(ctx, s.Log, event.FactorAdded, slog.String("kind", kindPasskey), slog.String("passkey_id", added.ID.String()))
	return api.AddPasskey201JSONResponse(s.passkeyOf(added)), nil
}

// addPasskeyTx verifies the passkey and stores it, in the transaction of q. The signature check takes less than a millisecond.
func (s *Service) addPasskeyTx(
	ctx context.Context, q *db.Queries, claims token.Claims, body *api.AddPasskeyRequest, now time.Time,
) (added db.Passkey, err error) {
	account, err := s.requireRecentAuthentication(ctx, q, claims, now)
	if err != nil {
		return added, err
	}
	ceremony, err := s.Ceremonies.Parse(body.Ceremony, token.CeremonyRegistration)
	if err != nil {
		return added, err
	}
	if ceremony.AccountID != claims.AccountID || ceremony.SessionID != claims.SessionID {
		return added, fmt.Errorf("%w: the ceremony began in another session", token.ErrInvalid)
	}
	if added, err = s.Passkeys.Register(account.ID, ceremony.Data, body.Credential); err != nil {
		return added, err
	}
	if err := useCeremony(ctx, q, ceremony); err != nil {
		return added, err
	}
	if _, err := listToAdd(ctx, q, account); err != nil {
		return added, err
	}
	// The browser may have ignored excludeCredentials.
	if _, err := q.GetPasskeyByCredentialID(ctx, added.CredentialID); !errors.Is(err, db.ErrNotFound) {
		if err == nil {
			err = errPasskeyKnown
		}
		return added, err
	}
	added.ID, added.AccountID, added.Name, added.CreatedAt = newID(), account.ID, body.Name, now
	err = q.InsertPasskey(ctx, db.InsertPasskeyParams{
		ID: added.ID, AccountID: added.AccountID, RpID: added.RpID, CredentialID: added.CredentialID, PublicKey: added.PublicKey,
		SignCount: added.SignCount, Flags: added.Flags, Transports: added.Transports, Name: added.Name, CreatedAt: added.CreatedAt,
	})
	if err != nil {
		return added, fmt.Errorf("store the passkey: %w", err)
	}
	return added, s.enqueueFactorChanged(ctx, q, claims, now)
}

// isBlank reports whether a name shows nothing: it has only white space, or characters without a glyph such as U+200B.
func isBlank(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) })
}

func badPasskey(ctx context.Context, parameter string) api.AddPasskey400JSONResponse {
	return api.AddPasskey400JSONResponse{
		Code: 400, Message: api.AddPasskeyFailure400MessageBADPARAMETERS, Parameters: reject(ctx, parameter),
	}
}

func addPasskeyConflict(message api.AddPasskeyFailure409Message) api.AddPasskey409JSONResponse {
	return api.AddPasskey409JSONResponse{Code: 409, Message: message}
}
