package impl

import (
	"context"
	"net/http"

	"github.com/financelime/authorization/api"
)

// GetAccountAsset returns a script or the style sheet of the page that GetAccountPage returns.
func (s *Service) GetAccountAsset(_ context.Context, r api.GetAccountAssetRequestObject) (api.GetAccountAssetResponseObject, error) {
	all, err := s.cachedDocuments()
	if err != nil {
		return nil, err
	}
	asset, known := all.accountAssets[r.Asset]
	if !known {
		return api.GetAccountAsset404JSONResponse{NotFoundJSONResponse: api.NotFoundJSONResponse{Code: 404, Message: "404 Not Found"}}, nil
	}
	return asset.respond(r.Params.IfNoneMatch), nil
}

// VisitGetAccountAssetResponse implements api.GetAccountAssetResponseObject.
func (r documentResponse) VisitGetAccountAssetResponse(w http.ResponseWriter) error {
	return r.write(w)
}
