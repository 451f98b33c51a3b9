package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
)

// GetOpenapiJSON returns openapi.yaml as JSON.
func (s *Service) GetOpenapiJSON(
	_ context.Context, r api.GetOpenapiJSONRequestObject,
) (api.GetOpenapiJSONResponseObject, error) {
	all, err := s.cachedDocuments()
	if err != nil {
		return nil, err
	}
	return all.openapiJSON.respond(r.Params.IfNoneMatch), nil
}

// VisitGetOpenapiJSONResponse implements api.GetOpenapiJSONResponseObject.
func (r documentResponse) VisitGetOpenapiJSONResponse(w http.ResponseWriter) error { return r.write(w) }
