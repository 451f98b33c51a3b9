package impl

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/token"
)

// GetVersion tells what is running.
func (s *Service) GetVersion(context.Context, api.GetVersionRequestObject) (api.GetVersionResponseObject, error) {
	return api.GetVersion200JSONResponse(s.Version), nil
}

// GetJwks publishes the public keys of the access tokens.
func (s *Service) GetJwks(context.Context, api.GetJwksRequestObject) (api.GetJwksResponseObject, error) {
	body, etag := s.Keys.JWKS()
	return jwksResponse{body: body, etag: etag}, nil
}

// jwksResponse is the key set as the key ring has it ready, with the headers that its readers cache it by.
type jwksResponse struct {
	body []byte
	etag string
}

// VisitGetJwksResponse implements api.GetJwksResponseObject.
func (r jwksResponse) VisitGetJwksResponse(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(token.JWKSMaxAge.Seconds())))
	w.Header().Set("Etag", r.etag)
	return writeJSON(w, r.body)
}

// GetOpenapiYaml returns the contract, byte by byte.
func (s *Service) GetOpenapiYaml(context.Context, api.GetOpenapiYamlRequestObject) (api.GetOpenapiYamlResponseObject, error) {
	spec := authorization.Spec()
	return api.GetOpenapiYaml200ApplicationYamlResponse{Body: bytes.NewReader(spec), ContentLength: int64(len(spec))}, nil
}

// GetOpenapiJSON returns the contract as JSON.
func (s *Service) GetOpenapiJSON(context.Context, api.GetOpenapiJSONRequestObject) (api.GetOpenapiJSONResponseObject, error) {
	s.specOnce.Do(func() { s.specJSON, s.specErr = specAsJSON() })
	return specResponse(s.specJSON), s.specErr
}

func specAsJSON() ([]byte, error) {
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	body, err := doc.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("turn openapi.yaml into JSON: %w", err)
	}
	return body, nil
}

type specResponse []byte

// VisitGetOpenapiJSONResponse implements api.GetOpenapiJSONResponseObject.
func (r specResponse) VisitGetOpenapiJSONResponse(w http.ResponseWriter) error {
	return writeJSON(w, r)
}

func writeJSON(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	return err
}
