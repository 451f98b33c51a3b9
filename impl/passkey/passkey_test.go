package passkey

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/google/uuid"

	"github.com/financelime/authorization/api"
	"github.com/financelime/authorization/db"
	"github.com/financelime/authorization/test/authenticator"
)

func TestCheckID(t *testing.T) {
	t.Parallel()
	for host, valid := range map[string]bool{
		"auth.example.com": true, "localhost": true, "auth.localhost": true, "xn--bcher-kva.example": true,
		"127.0.0.1": false, "::1": false, "[::1]": false, "com": false, "auth": false, "": false, "example.com.": false,
		"example.com:443": false, "https://example.com": false,
	} {
		if err := CheckID(host); (err == nil) != valid {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// A service without an RP ID has no usable passkeys.
func TestNoRelyingParty(t *testing.T) {
	t.Parallel()
	var none *RelyingParty
	if id := none.ID(); id != "" {
		t.Errorf("ID %q", id)
	}
}

// The counter has to rise, unless the authenticator does not count; a passkey may learn to be copied, but not forget it.
func TestAdvance(t *testing.T) {
	t.Parallel()
	const be = protocol.FlagBackupEligible
	for _, c := range []struct {
		name           string
		stored, count  int64
		before, flags  protocol.AuthenticatorFlags
		want           error
		counterAfter   int64
		syncedAfterUse bool
	}{
		{"none counts", 0, 0, 0, 0, nil, 0, false},
		{"rises", 4, 5, 0, 0, nil, 5, false},
		{"begins to count", 0, 1, 0, 0, nil, 1, false},
		{"rises to the maximum", 4, 1<<32 - 1, 0, 0, nil, 1<<32 - 1, false},
		{"stays", 5, 5, 0, 0, ErrCloned, 5, false},
		{"goes back", 5, 4, 0, 0, ErrCloned, 5, false},
		{"goes back to zero", 5, 0, 0, 0, ErrCloned, 5, false},
		{"learns to be copied", 0, 0, 0, be, nil, 0, true},
		{"can be copied", 0, 0, be, be, nil, 0, true},
		{"forgets to be copied", 0, 0, be, 0, ErrInvalid, 0, true},
	} {
		proof := Proof{counter: uint32(c.count), flags: c.flags}
		after, err := proof.Advance(db.Passkey{SignCount: c.stored, Flags: int64(c.before)})
		if !errors.Is(err, c.want) || after.SignCount != c.counterAfter || Synced(after) != c.syncedAfterUse {
			t.Errorf("%s: %+v, %v", c.name, after, err)
		}
	}
}

// The session data that clients bring back stays small, however many and long the user's credential IDs are.
func TestSessionDataIsSmall(t *testing.T) {
	t.Parallel()
	party, account := newParty(t), uuid.New()
	passkeys := make([]db.Passkey, 20)
	for i := range passkeys {
		passkeys[i].CredentialID = make([]byte, maxCredentialID)
		passkeys[i].Transports = "usb nfc"
	}
	options, registration, err := party.BeginRegistration(account, strings.Repeat("a", 242)+"@example.org", passkeys)
	if err != nil {
		t.Fatal(err)
	}
	request, second, err := party.BeginSecondFactor(account, passkeys)
	if err != nil {
		t.Fatal(err)
	}
	open, login, err := party.BeginLogin()
	if err != nil {
		t.Fatal(err)
	}
	if open.AllowCredentials != nil || open.UserVerification != "required" || request.UserVerification != "preferred" {
		t.Errorf("login %+v, second factor %+v", open, request)
	}
	for name, descriptors := range map[string]*[]api.PasskeyDescriptor{"exclude": options.ExcludeCredentials, "allow": request.AllowCredentials} {
		if descriptors == nil || len(*descriptors) != len(passkeys) || !slices.Equal(*(*descriptors)[0].Transports, []string{"usb", "nfc"}) {
			t.Errorf("%s: %v", name, descriptors)
		}
	}
	for name, data := range map[string]json.RawMessage{"registration": registration, "second factor": second, "login": login} {
		if len(data) > 1000 {
			t.Errorf("%s: %d bytes", name, len(data))
		}
	}
	selection := options.AuthenticatorSelection
	if selection == nil || selection.ResidentKey != "required" || !selection.RequireResidentKey || selection.UserVerification != "preferred" ||
		options.Attestation == nil || *options.Attestation != "none" || *options.Timeout != 300_000 {
		t.Errorf("options %+v, selection %+v", options, selection)
	}
	var algorithms []int64
	for _, p := range options.PubKeyCredParams {
		algorithms = append(algorithms, p.Alg)
	}
	if !slices.Equal(algorithms, []int64{-7, -8, -257}) {
		t.Errorf("algorithms %v", algorithms)
	}
}

// An app on Android is an origin only if it is configured.
func TestAppOrigin(t *testing.T) {
	t.Parallel()
	const app = "android:apk-key-hash:abc"
	for _, apps := range [][]string{nil, {app}} {
		party, err := New(Config{ID: "example.org", Name: "Test", Origins: []string{"https://example.org"}, AppOrigins: apps})
		if err != nil {
			t.Fatal(err)
		}
		account := uuid.New()
		options, data, err := party.BeginRegistration(account, "a@example.org", nil)
		if err != nil {
			t.Fatal(err)
		}
		key, err := authenticator.New(app, "example.org", account[:])
		if err != nil {
			t.Fatal(err)
		}
		var response api.PasskeyCredential
		if err := key.Register(options.Challenge, &response); err != nil {
			t.Fatal(err)
		}
		if _, err := party.Register(account, data, response); (err == nil) != (apps != nil) {
			t.Errorf("with %v: %v", apps, err)
		}
		if _, err := party.Register(uuid.New(), data, response); !errors.Is(err, ErrInvalid) {
			t.Errorf("for another account: %v", err)
		}
	}
}
