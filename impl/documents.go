package impl

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/digest"
	"github.com/financelime/authorization/impl/docs"
)

// GetVersion tells what is running.
func (s *Service) GetVersion(context.Context, api.GetVersionRequestObject) (api.GetVersionResponseObject, error) {
	return api.GetVersion200JSONResponse(s.Version), nil
}

// document is an answer that everybody may keep, for as long as it says, and then ask whether it is still good.
type document struct {
	contentType  string
	cacheControl string
	etag         string
	body         []byte
}

const (
	typeJSON = "application/json"
	typeYAML = "application/yaml"
	// keepAsking lets a copy be kept but not used unasked: these change with the version.
	keepAsking = "public, no-cache"
)

// documents are the documents that do not change while the service runs.
type documents struct {
	openapiYAML, openapiJSON, openidConfiguration document

	assets map[string]docs.Asset
}

// makeDocuments makes them once: they cost more than a request should.
func (s *Service) makeDocuments() (*documents, error) {
	s.documentsOnce.Do(func() { s.documents, s.documentsErr = newDocuments(s.Issuer, s.PublicURL, s.keysAge()) })
	return s.documents, s.documentsErr
}

func newDocuments(issuer, publicURL, keysAge string) (*documents, error) {
	asYAML := authorization.Spec()
	doc, err := openapi3.NewLoader().LoadFromData(asYAML)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	asJSON, err := doc.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("turn openapi.yaml into JSON: %w", err)
	}
	discovery, err := json.Marshal(api.OpenIDConfiguration{Issuer: issuer, JwksURI: publicURL + "/.well-known/jwks.json"})
	if err != nil {
		return nil, fmt.Errorf("write the openid-configuration: %w", err)
	}
	assets, err := docs.Assets()
	if err != nil {
		return nil, err
	}
	return &documents{
		openapiYAML:         document{typeYAML, keepAsking, digest.ETag(asYAML), asYAML},
		openapiJSON:         document{typeJSON, keepAsking, digest.ETag(asJSON), asJSON},
		openidConfiguration: document{typeJSON, keysAge, digest.ETag(discovery), discovery},
		assets:              assets,
	}, nil
}

func (s *Service) keysAge() string {
	return fmt.Sprintf("public, max-age=%d", int(s.Keys.MaxAge().Seconds()))
}

// GetJwks publishes the public keys of the access tokens.
func (s *Service) GetJwks(_ context.Context, r api.GetJwksRequestObject) (api.GetJwksResponseObject, error) {
	body, etag := s.Keys.JWKS()
	return document{typeJSON, s.keysAge(), etag, body}.asked(r.Params.IfNoneMatch), nil
}

// GetOpenidConfiguration tells the issuer and where its keys are.
func (s *Service) GetOpenidConfiguration(
	_ context.Context, r api.GetOpenidConfigurationRequestObject,
) (api.GetOpenidConfigurationResponseObject, error) {
	all, err := s.makeDocuments()
	if err != nil {
		return nil, err
	}
	return all.openidConfiguration.asked(r.Params.IfNoneMatch), nil
}

// GetOpenapiYaml returns the contract, byte by byte.
func (s *Service) GetOpenapiYaml(_ context.Context, r api.GetOpenapiYamlRequestObject) (api.GetOpenapiYamlResponseObject, error) {
	all, err := s.makeDocuments()
	if err != nil {
		return nil, err
	}
	return all.openapiYAML.asked(r.Params.IfNoneMatch), nil
}

// GetOpenapiJSON returns the contract as JSON.
func (s *Service) GetOpenapiJSON(_ context.Context, r api.GetOpenapiJSONRequestObject) (api.GetOpenapiJSONResponseObject, error) {
	all, err := s.makeDocuments()
	if err != nil {
		return nil, err
	}
	return all.openapiJSON.asked(r.Params.IfNoneMatch), nil
}

// GetDocs is the contract as a page.
func (s *Service) GetDocs(context.Context, api.GetDocsRequestObject) (api.GetDocsResponseObject, error) {
	return docsPage{}, nil
}

type docsPage struct{}

// VisitGetDocsResponse implements api.GetDocsResponseObject.
func (docsPage) VisitGetDocsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Security-Policy", docs.CSP())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := w.Write(docs.Page())
	return err
}

// GetDocsAsset is a part of that page.
func (s *Service) GetDocsAsset(_ context.Context, r api.GetDocsAssetRequestObject) (api.GetDocsAssetResponseObject, error) {
	all, err := s.makeDocuments()
	if err != nil {
		return nil, err
	}
	asset, known := all.assets[r.Asset]
	if !known {
		return api.GetDocsAsset404JSONResponse{NotFoundJSONResponse: api.NotFoundJSONResponse{Code: 404, Message: "404 Not Found"}}, nil
	}
	return document{asset.ContentType, keepAsking, asset.ETag, asset.Body}.asked(r.Params.IfNoneMatch), nil
}

// asked is the answer to somebody who may have a copy already, which the tags of If-None-Match name (RFC 9110 section 13.1.2).
func (d document) asked(ifNoneMatch *string) answer {
	if ifNoneMatch == nil {
		return answer{document: d}
	}
	known := slices.ContainsFunc(strings.Split(*ifNoneMatch, ","), func(tag string) bool {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		return tag == d.etag || tag == "*"
	})
	return answer{document: d, notModified: known}
}

// answer is a document, or that the caller has it.
type answer struct {
	document

	notModified bool
}

func (a answer) write(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", a.cacheControl)
	w.Header().Set("Etag", a.etag)
	if a.notModified {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", a.contentType)
	_, err := w.Write(a.body)
	return err
}

// VisitGetJwksResponse and the others implement the interfaces of package api.
func (a answer) VisitGetJwksResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetOpenidConfigurationResponse implements api.GetOpenidConfigurationResponseObject.
func (a answer) VisitGetOpenidConfigurationResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetOpenapiYamlResponse implements api.GetOpenapiYamlResponseObject.
func (a answer) VisitGetOpenapiYamlResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetOpenapiJSONResponse implements api.GetOpenapiJSONResponseObject.
func (a answer) VisitGetOpenapiJSONResponse(w http.ResponseWriter) error { return a.write(w) }

// VisitGetDocsAssetResponse implements api.GetDocsAssetResponseObject.
func (a answer) VisitGetDocsAssetResponse(w http.ResponseWriter) error { return a.write(w) }
