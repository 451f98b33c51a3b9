package passkey

import (
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
)

// vectors are test vectors of WebAuthn Level 3 section 16. Those that are not accepted come from a frame of another origin, or have an
// algorithm that the options do not offer.
//
//go:embed testdata/vectors.json
var vectors []byte

// fields are the fields of a response, in hexadecimal.
type fields map[string]string

// response returns what a browser would send, and the challenge in base64url.
func (f fields) response(t *testing.T, credentialID string) (response api.PasskeyCredential, challenge string) {
	t.Helper()
	inner := make(map[string]string)
	for name, value := range f {
		inner[name] = fromHex(t, value)
	}
	challenge = inner["challenge"]
	delete(inner, "challenge")
	id := fromHex(t, credentialID)
	text, err := json.Marshal(map[string]any{"id": id, "rawId": id, "type": "public-key", "response": inner})
	if err == nil {
		err = json.Unmarshal(text, &response)
	}
	if err != nil {
		t.Fatal(err)
	}
	return response, challenge
}

func fromHex(t *testing.T, text string) string {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// withChallenge returns session data with another challenge.
func withChallenge(t *testing.T, data json.RawMessage, challenge string) json.RawMessage {
	t.Helper()
	var session map[string]any
	if err := json.Unmarshal(data, &session); err != nil {
		t.Fatal(err)
	}
	session["challenge"] = challenge
	changed, err := json.Marshal(session)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func newParty(t *testing.T) *RelyingParty {
	t.Helper()
	party, err := New(Config{ID: "example.org", Name: "Test", Origins: []string{"https://example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	return party
}

// TestVectors registers each vector and authenticates with it. The account and the challenge of the ceremonies are those of the vector.
func TestVectors(t *testing.T) {
	t.Parallel()
	var all []struct {
		Section, Name, CredentialID  string
		Accepted                     bool
		Registration, Authentication fields
	}
	if err := json.Unmarshal(vectors, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 9 {
		t.Fatalf("only %d vectors", len(all))
	}
	party, account := newParty(t), uuid.New()
	for _, v := range all {
		t.Run(v.Section+" "+v.Name, func(t *testing.T) {
			t.Parallel()
			_, data, err := party.BeginRegistration(account, "a@example.org", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, challenge := v.Registration.response(t, v.CredentialID)
			if _, err := party.Register(account, data, response); !errors.Is(err, ErrInvalid) {
				t.Errorf("with another challenge: %v", err)
			}
			stored, err := party.Register(account, withChallenge(t, data, challenge), response)
			if !v.Accepted {
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("it was accepted: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			stored.AccountID = account

			_, data, err = party.BeginSecondFactor(account, []db.Passkey{stored})
			if err != nil {
				t.Fatal(err)
			}
			response, challenge = v.Authentication.response(t, v.CredentialID)
			assertion, err := ParseAssertion(response)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := party.Verify(data, assertion, &stored); !errors.Is(err, ErrInvalid) {
				t.Errorf("with another challenge: %v", err)
			}
			if _, err := party.Verify(withChallenge(t, data, challenge), assertion, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("of an unknown passkey: %v", err)
			}
			proof, err := party.Verify(withChallenge(t, data, challenge), assertion, &stored)
			if err != nil {
				t.Fatal(err)
			}
			if advanced, err := proof.Advance(stored); err != nil || advanced.SignCount != 0 {
				t.Errorf("%+v, %v", advanced, err)
			}
		})
	}
}
