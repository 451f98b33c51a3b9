package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
)

// GetOpenidConfiguration returns the issuer and the URL of its keys.
func (s *Service) GetOpenidConfiguration(
	_ context.Context, r api.GetOpenidConfigurationRequestObject,
) (api.GetOpenidConfigurationResponseObject, error) {
	all, err := s.cachedDocuments()
	if err != nil {
		return nil, err
	}
	return all.openidConfiguration.respond(r.Params.IfNoneMatch), nil
}

// VisitGetOpenidConfigurationResponse implements api.GetOpenidConfigurationResponseObject.
func (r documentResponse) VisitGetOpenidConfigurationResponse(w http.ResponseWriter) error {
	return r.write(w)
}
