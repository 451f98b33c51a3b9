package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/docs"
)

// GetDocs returns the API reference as an HTML page.
func (s *Service) GetDocs(context.Context, api.GetDocsRequestObject) (api.GetDocsResponseObject, error) {
	return docsResponse{}, nil
}

type docsResponse struct{}

// VisitGetDocsResponse implements api.GetDocsResponseObject.
func (docsResponse) VisitGetDocsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Security-Policy", docs.CSP())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := w.Write(docs.Page())
	return err
}
