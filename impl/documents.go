package impl

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/account"
	"github.com/financelime/authorization/impl/digest"
	"github.com/financelime/authorization/impl/docs"
)

// document is a public response that clients may cache and revalidate with its ETag.
type document struct {
	contentType  string
	cacheControl string
	etag         string
	body         []byte
}

const (
	typeJSON = "application/json"
	typeYAML = "application/yaml"
	// revalidate allows caches to store a copy, but not to use it without revalidation: these documents change with the version.
	revalidate = "public, no-cache"
)

// documents are the documents that do not change while the service runs.
type documents struct {
	openapiYAML, openapiJSON, openidConfiguration document

	docsAssets    map[string]docs.Asset
	accountPage   []byte
	accountAssets map[string]document
}

// cachedDocuments builds the documents on the first call: that is too expensive for each request.
func (s *Service) cachedDocuments() (*documents, error) {
	s.documentsOnce.Do(func() { s.documents, s.documentsErr = s.newDocuments() })
	return s.documents, s.documentsErr
}

func (s *Service) newDocuments() (*documents, error) {
	asYAML := authorization.Spec()
	doc, err := openapi3.NewLoader().LoadFromData(asYAML)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	asJSON, err := doc.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("convert openapi.yaml to JSON: %w", err)
	}
	discovery, err := json.Marshal(api.OpenIDConfiguration{Issuer: s.Issuer, JwksURI: s.PublicURL + "/.well-known/jwks.json"})
	if err != nil {
		return nil, fmt.Errorf("write the openid-configuration: %w", err)
	}
	assets, err := docs.Assets()
	if err != nil {
		return nil, err
	}
	accountPage, err := s.accountPage()
	if err != nil {
		return nil, err
	}
	accountAssets, err := newAccountAssets()
	if err != nil {
		return nil, err
	}
	return &documents{
		openapiYAML:         document{typeYAML, revalidate, digest.ETag(asYAML), asYAML},
		openapiJSON:         document{typeJSON, revalidate, digest.ETag(asJSON), asJSON},
		openidConfiguration: document{typeJSON, s.keysCacheControl(), digest.ETag(discovery), discovery},
		docsAssets:          assets,
		accountPage:         accountPage,
		accountAssets:       accountAssets,
	}, nil
}

func newAccountAssets() (map[string]document, error) {
	assets, err := account.Assets()
	if err != nil {
		return nil, err
	}
	documents := make(map[string]document, len(assets))
	for name, asset := range assets {
		documents[name] = document{asset.ContentType, revalidate, digest.ETag(asset.Body), asset.Body}
	}
	return documents, nil
}

// respond returns the response for a client that may have a copy, whose ETags are in If-None-Match (RFC 9110 section 13.1.2).
func (d document) respond(ifNoneMatch *string) documentResponse {
	if ifNoneMatch == nil {
		return documentResponse{document: d}
	}
	notModified := slices.ContainsFunc(strings.Split(*ifNoneMatch, ","), func(tag string) bool {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		return tag == d.etag || tag == "*"
	})
	return documentResponse{document: d, notModified: notModified}
}

// documentResponse is a document, or 304 if the client has a current copy. The file of each operation has its Visit method.
type documentResponse struct {
	document

	notModified bool
}

func (r documentResponse) write(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", r.cacheControl)
	w.Header().Set("Etag", r.etag)
	if r.notModified {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", r.contentType)
	_, err := w.Write(r.body)
	return err
}
