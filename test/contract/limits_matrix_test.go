package contract

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	financelime "github.com/financelime/authorization"
)

// TestEveryOperationHasALimit expects a limit, or a reason for none, for each operation, so that a new operation decides (SECURITY.md S-B6).
// TestMain checks that each documented 429 was received.
func TestEveryOperationHasALimit(t *testing.T) {
	t.Parallel()
	const (
		signed = "its secret is a signed token: nobody guesses 256 bits, and a forged one costs a signature's check"
		public = "it takes no secret"
	)
	unlimited := map[string]string{
		"refresh_access_token": signed, "verify_access_token": signed, "get_list_active_sessions": signed,
		"revoke_refresh_token": signed, "revoke_session": signed,
		"get_version": public, "get_jwks": public, "get_openid_configuration": public,
		"get_openapi_json": public, "get_openapi_yaml": public, "get_docs": public, "get_docs_asset": public,
	}
	spec, err := openapi3.NewLoader().LoadFromData(financelime.Spec())
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			id := operation.OperationID
			limited := operation.Responses.Status(429) != nil
			if why, excused := unlimited[id]; limited == excused {
				t.Errorf("%s: documents 429: %t, and need not be limited because %q", id, limited, why)
			}
			delete(unlimited, id)
		}
	}
	for id := range unlimited {
		t.Errorf("there is no operation %s", id)
	}
}
