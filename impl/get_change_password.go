package impl

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/financelime/authorization/api"
)

// GetChangePassword redirects to the part of the account page that changes the password.
func (s *Service) GetChangePassword(context.Context, api.GetChangePasswordRequestObject) (api.GetChangePasswordResponseObject, error) {
	public, err := url.Parse(s.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("parse the public URL: %w", err)
	}
	return changePasswordResponse{location: public.EscapedPath() + "/account#password"}, nil
}

// changePasswordResponse redirects to a path, not to a URL: the user stays at the host that they know.
type changePasswordResponse struct{ location string }

// VisitGetChangePasswordResponse implements api.GetChangePasswordResponseObject.
func (r changePasswordResponse) VisitGetChangePasswordResponse(w http.ResponseWriter) error {
	w.Header().Set("Location", r.location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
