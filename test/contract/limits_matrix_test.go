package contract

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	financelime "github.com/financelime/authorization"
)

// TestEveryOperationHasALimit expects each operation to have a limit, or a listed reason for none (SECURITY.md S-B6).
// TestMain checks that each documented 429 was received.
func TestEveryOperationHasALimit(t *testing.T) {
	t.Parallel()
	const (
		signed = "its secret is a signed token: 256 bits cannot be guessed, and a forged one costs one signature check"
		public = "it takes no secret"
	)
	unlimited := map[string]string{
		"refresh_access_token": signed, "verify_access_token": signed, "get_list_active_sessions": signed,
		"revoke_refresh_token": signed, "revoke_session": signed, "revoke_other_sessions": signed, "get_user": signed, "cancel_email_change": signed,
		"delete_user":  "it takes no secret, and a user can do it once",
		"confirm_totp": "guessing the code of a new secret gains nothing: the access token that confirms the secret also begins it",
		"begin_totp":   signed, "remove_totp": signed, "turn_on_second_factor": signed, "turn_off_second_factor": signed, "renew_recovery_codes": signed,
		"list_passkeys": signed, "begin_passkey": signed, "add_passkey": signed, "rename_passkey": signed, "remove_passkey": signed,
		"begin_passkey_log_in": public,
		"get_version":          public, "get_jwks": public, "get_openid_configuration": public,
		"get_openapi_json": public, "get_openapi_yaml": public, "get_docs": public, "get_docs_asset": public,
		"get_account_page": public, "get_account_asset": public, "get_change_password": public,
	}
	spec, err := openapi3.NewLoader().LoadFromData(financelime.Spec())
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			id := operation.OperationID
			limited := operation.Responses.Status(429) != nil
			why, listed := unlimited[id]
			switch {
			case limited && listed:
				t.Errorf("%s documents 429, but is listed here as unlimited: %s", id, why)
			case !limited && !listed:
				t.Errorf("%s documents no 429: document it, or list here why the operation needs no limit", id)
			}
			delete(unlimited, id)
		}
	}
	for id := range unlimited {
		t.Errorf("there is no operation %s", id)
	}
}
