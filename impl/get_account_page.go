package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/account"
)

// GetAccountPage returns the page on which users manage their accounts.
func (s *Service) GetAccountPage(context.Context, api.GetAccountPageRequestObject) (api.GetAccountPageResponseObject, error) {
	all, err := s.cachedDocuments()
	if err != nil {
		return nil, err
	}
	return accountPageResponse{all.accountPage}, nil
}

// accountPage renders the page. It is the same for everybody.
func (s *Service) accountPage() ([]byte, error) {
	appURL := s.AppURL
	if appURL == s.PublicURL+"/account" { // the page is the app
		appURL = ""
	}
	return account.Page(account.Config{
		Service: s.Name, AppURL: appURL, MinLength: s.PasswordPolicy.Minimum(), InviteRequired: s.InviteRequired,
		DeletionGrace: s.DeletionGrace, Passkeys: s.Passkeys != nil,
	})
}

type accountPageResponse struct{ page []byte }

// VisitGetAccountPageResponse implements api.GetAccountPageResponseObject.
func (r accountPageResponse) VisitGetAccountPageResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Security-Policy", account.CSP())
	w.Header().Set("Permissions-Policy", account.PermissionsPolicy())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := w.Write(r.page)
	return err
}
