package impl

import (
	"context"
	"fmt"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/impl/reqinfo"
)

// tokens returns the tokens of a session in its current state. The refresh token is a function of the session's row.
func (s *Service) tokens(ctx context.Context, session db.Session) (api.AccessTokenResponse, error) {
	req := reqinfo.FromContext(ctx)
	req.AccountID, req.SessionID = session.AccountID.String(), session.ID.String()

	access, err := s.Access.Sign(session.AccountID, session.ID, session.ClientID, authentication(session))
	if err != nil {
		return api.AccessTokenResponse{}, fmt.Errorf("sign the access token: %w", err)
	}
	refresh, err := s.Refresh.Token(session.ID, session.Generation, session.RefreshedAt)
	if err != nil {
		return api.AccessTokenResponse{}, fmt.Errorf("sign the refresh token: %w", err)
	}
	lifetime := s.Access.Lifetime()
	return api.AccessTokenResponse{
		SessionID: session.ID.String(), AccessToken: access, RefreshToken: refresh, ExpiresIn: &lifetime,
	}, nil
}
