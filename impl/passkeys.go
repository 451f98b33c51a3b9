package impl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/token"
)

// maxPasskeys is how many passkeys a user can have. All of them are in the options of a ceremony.
const maxPasskeys = 20

// errCeremonyUsed means that a ceremony has succeeded before.
var errCeremonyUsed = errors.New("the ceremony was used before")

// noPasskeys is the response of a service that has no RP ID.
func noPasskeys() api.NotFoundJSONResponse {
	return api.NotFoundJSONResponse{Code: 404, Message: "404 Not Found"}
}

// passkeyOf returns a passkey as its user sees it.
func (s *Service) passkeyOf(stored db.Passkey) api.Passkey {
	p := api.Passkey{
		PasskeyID: stored.ID.String(), Name: stored.Name, CreatedAt: clock.Format(stored.CreatedAt),
		Synced: passkey.Synced(stored), Usable: s.isUsable(stored),
	}
	if stored.UsedAt != nil {
		used := clock.Format(*stored.UsedAt)
		p.UsedAt = &used
	}
	return p
}

// isUsable reports whether a passkey works for the domain that the service uses now.
func (s *Service) isUsable(stored db.Passkey) bool { return stored.RpID == s.Passkeys.ID() }

// usablePasskeys returns the passkeys of an account that work for the domain that the service uses now: none if it has no RP ID.
func (s *Service) usablePasskeys(ctx context.Context, q *db.Queries, accountID uuid.UUID) ([]db.Passkey, error) {
	stored, err := q.ListPasskeys(ctx, accountID)
	if err != nil {
		return nil, fmt.Errorf("list the passkeys: %w", err)
	}
	return slices.DeleteFunc(stored, func(p db.Passkey) bool { return !s.isUsable(p) }), nil
}

// issueCeremony returns the token of a ceremony that has begun.
func (s *Service) issueCeremony(purpose string, accountID, sessionID uuid.UUID, data json.RawMessage) (string, error) {
	ceremony, err := s.Ceremonies.Issue(token.Ceremony{Purpose: purpose, AccountID: accountID, SessionID: sessionID, Data: data})
	if err != nil {
		return "", fmt.Errorf("issue a ceremony: %w", err)
	}
	return ceremony, nil
}

// useCeremony records that a ceremony has succeeded, in the transaction of what it was for. It fails with errCeremonyUsed. The caller has
// verified a signature over the challenge before, so anonymous requests write nothing.
//
// Clocks: the cleaner keeps the row for an hour longer than the ceremony is valid.
func useCeremony(ctx context.Context, q *db.Queries, ceremony token.Ceremony) error {
	hash, err := passkey.ChallengeHash(ceremony.Data)
	if err != nil {
		return fmt.Errorf("hash the challenge: %w", err)
	}
	inserted, err := q.InsertUsedChallenge(ctx, db.InsertUsedChallengeParams{Hash: hash, ExpiresAt: ceremony.ExpiresAt})
	if err != nil {
		return fmt.Errorf("record the challenge: %w", err)
	}
	if inserted == 0 {
		return errCeremonyUsed
	}
	return nil
}

// parsePasskeyID returns the ID of a passkey, and false for a text that the service does not make.
func parsePasskeyID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && id.String() == text // uuid.Parse also accepts braces, urn: and upper case
}
