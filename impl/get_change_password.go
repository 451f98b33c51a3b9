package impl

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/page"
	"github.com/financelime/authorization/impl/reqinfo"
)

// changePasswordPath is the part of the account page that changes the password.
const changePasswordPath = "/account#password"

// GetChangePassword redirects people to the part of the account page that changes the password, and returns its URL to programs.
func (s *Service) GetChangePassword(
	ctx context.Context, _ api.GetChangePasswordRequestObject,
) (api.GetChangePasswordResponseObject, error) {
	public, err := url.Parse(s.PublicURL) // it has no slash at its end
	if err != nil {
		return nil, fmt.Errorf("parse the public URL: %w", err)
	}
	if page.Negotiate(reqinfo.FromContext(ctx).Accept) == page.JSON {
		return api.GetChangePassword200JSONResponse{URL: public.String() + changePasswordPath}, nil
	}
	return changePasswordResponse{location: public.EscapedPath() + changePasswordPath}, nil
}

// changePasswordResponse redirects to a path, not to a URL: the user stays at the host that they know.
type changePasswordResponse struct{ location string }

// VisitGetChangePasswordResponse implements api.GetChangePasswordResponseObject.
func (r changePasswordResponse) VisitGetChangePasswordResponse(w http.ResponseWriter) error {
	w.Header().Set("Location", r.location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
