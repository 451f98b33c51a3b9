package impl

import (
	"context"
	"fmt"
	"net/http"

	"github.com/financelime/authorization/api"
)

// GetJwks returns the public keys of the access tokens.
func (s *Service) GetJwks(_ context.Context, r api.GetJwksRequestObject) (api.GetJwksResponseObject, error) {
	body, etag := s.Keys.JWKS()
	return document{typeJSON, s.keysCacheControl(), etag, body}.respond(r.Params.IfNoneMatch), nil
}

func (s *Service) keysCacheControl() string {
	return fmt.Sprintf("public, max-age=%d", int(s.Keys.MaxAge().Seconds()))
}

// VisitGetJwksResponse implements api.GetJwksResponseObject.
func (r documentResponse) VisitGetJwksResponse(w http.ResponseWriter) error { return r.write(w) }
