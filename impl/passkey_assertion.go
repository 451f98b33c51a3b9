package impl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/token"
)

// verifiedPasskey is a passkey that has signed the challenge of a ceremony.
type verifiedPasskey struct {
	stored   db.Passkey // what GetPasskeyKey has read, and the credential ID
	proof    passkey.Proof
	ceremony token.Ceremony
}

// methods returns the methods (the claim amr) that the passkey proves.
func (v verifiedPasskey) methods() []string {
	methods := []string{token.HardwareKey}
	if v.proof.Synced() {
		methods[0] = token.SoftwareKey
	}
	if v.proof.Verified {
		methods = append(methods, token.UserVerification)
	}
	return methods
}

// verifyPasskey verifies the response of a passkey. It only reads, and fails with errWrongFactor. An unknown passkey and a wrong signature
// cost the same work.
func (s *Service) verifyPasskey(
	ctx context.Context, q *db.Queries, ceremonyToken string, credential api.PasskeyCredential, purpose string,
) (verified verifiedPasskey, err error) {
	if s.Passkeys == nil {
		return verified, fmt.Errorf("%w: the service has no RP ID", errWrongFactor)
	}
	if verified.ceremony, err = s.Ceremonies.Parse(ceremonyToken, purpose); err != nil {
		return verified, fmt.Errorf("%w: %w", errWrongFactor, err)
	}
	assertion, err := passkey.ParseAssertion(credential)
	if err != nil {
		return verified, wrongIfInvalid(err)
	}
	key, err := q.GetPasskeyKey(ctx, assertion.CredentialID())
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return verified, fmt.Errorf("find the passkey: %w", err)
	}
	verified.stored = db.Passkey{AccountID: key.AccountID, RpID: key.RpID, CredentialID: assertion.CredentialID(), PublicKey: key.PublicKey}
	stored := &verified.stored
	if err != nil {
		stored = nil
	}
	verified.proof, err = s.Passkeys.Verify(verified.ceremony.Data, assertion, stored)
	return verified, wrongIfInvalid(err)
}

func wrongIfInvalid(err error) error {
	if errors.Is(err, passkey.ErrInvalid) {
		return fmt.Errorf("%w: %w", errWrongFactor, err)
	}
	return err
}

// recordPasskey records the use of a verified passkey, in a transaction that has locked the account. It fails with errWrongFactor if the
// ceremony was used before, or if the passkey was removed or looks cloned.
func (s *Service) recordPasskey(ctx context.Context, q *db.Queries, account db.Account, verified verifiedPasskey, now time.Time) error {
	if err := useCeremony(ctx, q, verified.ceremony); err != nil { // first: a replayed response is no sign of a clone
		if errors.Is(err, errCeremonyUsed) {
			return fmt.Errorf("%w: %w", errWrongFactor, err)
		}
		return err
	}
	stored, err := q.GetPasskeyByCredentialID(ctx, verified.stored.CredentialID)
	if err == nil && stored.AccountID != account.ID {
		err = db.ErrNotFound
	}
	if errors.Is(err, db.ErrNotFound) {
		return fmt.Errorf("%w: the account has no such passkey", errWrongFactor)
	}
	if err != nil {
		return fmt.Errorf("find the passkey: %w", err)
	}
	advanced, err := verified.proof.Advance(stored)
	if errors.Is(err, passkey.ErrCloned) {
		event.Record(ctx, s.Log, event.PasskeyCloneSuspected, event.Account(account.ID), slog.String("passkey_id", stored.ID.String()))
		return fmt.Errorf("%w: %w", errWrongFactor, err)
	}
	if err != nil {
		return wrongIfInvalid(err)
	}
	recorded, err := q.RecordPasskeyUse(ctx, db.RecordPasskeyUseParams{
		ID: stored.ID, SignCount: advanced.SignCount, Flags: advanced.Flags, Now: &now,
	})
	if err != nil {
		return fmt.Errorf("record the use of the passkey: %w", err)
	}
	if recorded == 0 {
		return fmt.Errorf("record the use of the passkey %s: its account is locked, but it was not changed", stored.ID)
	}
	return nil
}

// usePasskey uses a passkey as a second factor, or to authenticate again, in a transaction that has locked the account. It returns hwk or swk,
// and user if the authenticator has verified the user. It fails with errWrongFactor. Where the passkey is the only proof, the authenticator
// must have verified the user: in a ceremony for logins, and while the account needs no second factor.
func (s *Service) usePasskey(
	ctx context.Context, q *db.Queries, account db.Account, assertion api.PasskeyAssertion, purpose string, now time.Time,
) (methods []string, err error) {
	verified, err := s.verifyPasskey(ctx, q, assertion.Ceremony, assertion.Credential, purpose)
	if err != nil {
		return nil, err
	}
	if began := verified.ceremony.AccountID; began != account.ID && (began != uuid.Nil || purpose == token.CeremonySecondFactor) {
		return nil, fmt.Errorf("%w: the ceremony is of another user", errWrongFactor)
	}
	if !verified.proof.Verified && (purpose == token.CeremonyLogIn || account.SecondFactorSince == nil) {
		return nil, fmt.Errorf("%w: the authenticator has not verified the user", errWrongFactor)
	}
	if err := s.recordPasskey(ctx, q, account, verified, now); err != nil {
		return nil, err
	}
	return verified.methods(), nil
}

// secondFactorRequest begins the ceremony of a passkey as a second factor after a right password. It returns nil if the account has no usable
// passkey.
func (s *Service) secondFactorRequest(ctx context.Context, q *db.Queries, account db.Account) (*api.PasskeyRequest, error) {
	usable, err := s.usablePasskeys(ctx, q, account.ID)
	if err != nil || len(usable) == 0 {
		return nil, err
	}
	options, data, err := s.Passkeys.BeginSecondFactor(account.ID, usable)
	if err != nil {
		return nil, err
	}
	ceremony, err := s.issueCeremony(token.CeremonySecondFactor, account.ID, uuid.Nil, data)
	if err != nil {
		return nil, err
	}
	return &api.PasskeyRequest{Ceremony: ceremony, Options: options}, nil
}
