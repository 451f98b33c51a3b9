package impl

import (
	"context"

	"github.com/financelime/authorization/api"
)

// GetVersion returns the version that is running.
func (s *Service) GetVersion(context.Context, api.GetVersionRequestObject) (api.GetVersionResponseObject, error) {
	return api.GetVersion200JSONResponse(s.Version), nil
}
