package impl

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/clock"
	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
	"github.com/financelime/authorization/impl/totp"
)

var _ api.StrictServerInterface = (*Service)(nil)

// Service implements the operations of openapi.yaml. All fields are required, except as noted.
type Service struct {
	Store   *db.Store
	Root    secret.Root
	Links   link.Keys
	Hasher  *password.Hasher
	Limits  *limit.Limits
	Keys    *token.Keys
	Access  *token.Access
	Refresh *token.Refresh
	// Tickets and Ceremonies are what a client brings from one step of an authentication to the next.
	Tickets    *token.Tickets
	Ceremonies *token.Ceremonies
	TOTP       *totp.Sealer
	// Passkeys is nil if the service has no RP ID.
	Passkeys *passkey.RelyingParty
	Log      *slog.Logger

	// PasswordPolicy decides which passwords users can choose.
	PasswordPolicy *password.Policy

	// MailQueued is called after a commit that enqueued a mail, so that it is sent immediately.
	MailQueued func()
	// Clock is optional: the zero Clock is the system's.
	Clock clock.Clock

	Name      string // service name shown on pages
	AppURL    string // where the pages about links lead; may be empty
	PublicURL string // base URL of the service, as clients reach it
	Issuer    string // the iss claim of access tokens

	InviteRequired  bool
	HideAccounts    bool     // sign-up and reset give the same response whether or not the account exists
	ClientIDs       []string // the clients that may log in; empty: all
	SignUpLinkTTL   time.Duration
	PasswordLinkTTL time.Duration
	DeletionGrace   time.Duration // how long a user can undo the deletion of their account; 0: not at all
	RefreshTTL      time.Duration // a session that is not refreshed for this long has ended
	RefreshGrace    time.Duration // how long a replaced refresh token gets the same successor again
	SessionMaxAge   time.Duration
	SessionsPerUser int64       // another login ends the least recently refreshed session
	LoginNotice     LoginNotice // which logins are reported to the user by e-mail

	Version api.VersionResponse

	heartbeat heartbeat

	resetQueuedOnce sync.Once
	resetQueued     chan struct{}
	resetFunc       func(context.Context, uuid.UUID) error // replaces runReset in tests; optional

	documentsOnce sync.Once
	documents     *documents
	documentsErr  error
}

// principal returns the claims of the request's access token. openapi.yaml marks the operations that require one, and impl/server refuses
// requests without it.
func principal(ctx context.Context) (token.Claims, error) {
	claims, ok := token.FromContext(ctx)
	if !ok {
		return claims, errors.New("the operation requires an access token but was called without one")
	}
	return claims, nil
}

// The clocks of replicas differ, and a clock may be set back. Wherever a time is compared with one that another process wrote, a comment
// says what the consequence is.
const (
	// skewTolerance is how much the clocks of replicas may differ without an effect on short periods.
	skewTolerance = 5 * time.Second
	// maxSkew is how far in the future a stored time may be. A time further ahead was written by a wrong clock, and is ignored in
	// comparisons: the next write overwrites it.
	maxSkew = time.Hour
)

// newID returns an ID that sorts by time, for rows whose ID is not a secret. It panics only if crypto/rand fails, which ends the process.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
