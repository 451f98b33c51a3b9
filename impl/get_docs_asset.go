package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
)

// GetDocsAsset returns a script or style sheet of the page that GetDocs returns.
func (s *Service) GetDocsAsset(_ context.Context, r api.GetDocsAssetRequestObject) (api.GetDocsAssetResponseObject, error) {
	all, err := s.cachedDocuments()
	if err != nil {
		return nil, err
	}
	asset, known := all.docsAssets[r.Asset]
	if !known {
		return api.GetDocsAsset404JSONResponse{NotFoundJSONResponse: api.NotFoundJSONResponse{Code: 404, Message: "404 Not Found"}}, nil
	}
	return document{asset.ContentType, revalidate, asset.ETag, asset.Body}.respond(r.Params.IfNoneMatch), nil
}

// VisitGetDocsAssetResponse implements api.GetDocsAssetResponseObject.
func (r documentResponse) VisitGetDocsAssetResponse(w http.ResponseWriter) error { return r.write(w) }
