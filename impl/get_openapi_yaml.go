package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
)

// GetOpenapiYaml returns openapi.yaml, byte for byte.
func (s *Service) GetOpenapiYaml(
	_ context.Context, r api.GetOpenapiYamlRequestObject,
) (api.GetOpenapiYamlResponseObject, error) {
	all, err := s.cachedDocuments()
	if err != nil {
		return nil, err
	}
	return all.openapiYAML.respond(r.Params.IfNoneMatch), nil
}

// VisitGetOpenapiYamlResponse implements api.GetOpenapiYamlResponseObject.
func (r documentResponse) VisitGetOpenapiYamlResponse(w http.ResponseWriter) error { return r.write(w) }
