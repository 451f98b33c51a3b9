package impl

import (
	"context"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/impl/reqinfo"
)

// reject returns the list of rejected parameters for a 400, and puts it in the log line of the request. The names are those of
// openapi.yaml.
func reject(ctx context.Context, names ...string) *api.RejectedParameters {
	reqinfo.FromContext(ctx).Rejected = names
	return &names
}
