// Package impl is the service behind the contract: one file per operation, each the story of that operation.
//
// It knows no HTTP and no SQL driver. A method maps the request, does its work in at most one transaction, and
// answers with one of the operation's documented responses; what it returns as an error is nobody's fault but ours
// (500) or the database's (503), and impl/server answers it.
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
	"github.com/financelime/authorization/impl/password"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
)

var _ api.StrictServerInterface = (*Service)(nil)

// Service implements the operations of openapi.yaml. All of its fields are needed, except as noted.
type Service struct {
	Store   *db.Store
	Root    secret.Root
	Links   link.Keys
	Hasher  *password.Hasher
	Limits  *limit.Limits
	Keys    *token.Keys
	Access  *token.Access
	Refresh *token.Refresh
	Log     *slog.Logger

	// MailQueued is called after a commit that owes somebody a mail, so that it leaves at once.
	MailQueued func()
	// Now is the clock; time.Now if nil.
	Clock clock.Clock

	Name      string // the service's name, for its pages
	PublicURL string // under which the service is reached from outside
	Issuer    string // of the access tokens

	InviteRequired  bool
	HideAccounts    bool     // sign-up and reset answer alike whether or not the account exists
	ClientIDs       []string // the clients that may log in; all if empty
	SignUpLinkTTL   time.Duration
	PasswordLinkTTL time.Duration
	RefreshTTL      time.Duration // a session that is not refreshed for this long has ended
	RefreshGrace    time.Duration // how long a used-up refresh token gives its successor again
	SessionMaxAge   time.Duration
	SessionsPerUser int64       // more end the oldest
	LoginNotice     LoginNotice // when a log-in is told by mail

	Version api.VersionResponse

	heartbeat heartbeat

	resetsOnce  sync.Once
	resetOne    func(context.Context, uuid.UUID) error // tests have another than doReset
	resetsAsked chan struct{}

	documentsOnce sync.Once
	documents     *documents
	documentsErr  error
}

// principal is whom the request's access token speaks for. Operations that need one are marked so in openapi.yaml, and
// impl/server lets nobody else through.
func principal(ctx context.Context) (token.Claims, error) {
	claims, ok := token.FromContext(ctx)
	if !ok {
		return claims, errors.New("the operation needs an access token and was reached without one")
	}
	return claims, nil
}

// The clocks of replicas differ, and a clock may be set back. Where a time is compared with one that another process wrote, a comment
// says what that does.
const (
	// skewTolerance is how much the clocks of replicas may differ before short periods suffer.
	skewTolerance = 5 * time.Second
	// maxSkew is how far ahead a time may be. One further ahead was written by a clock that was wrong, and orders nothing.
	maxSkew = time.Hour
)

// newID makes an id in the order of time, for rows whose id is no secret.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) } // fails only where crypto/rand does, and that ends the process
