package contract

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/authenticator"
	"github.com/financelime/authorization/test/harness"
)

// passkeyAttack is a response that must not log in.
type passkeyAttack struct {
	name   string
	change func(*authenticator.Passkey)
}

func passkeyAttacks(otherUser []byte) []passkeyAttack {
	return []passkeyAttack{
		{"another origin", func(k *authenticator.Passkey) { k.Origin = "https://evil.example.test" }},
		{"a subdomain of the origin", func(k *authenticator.Passkey) { k.Origin = "https://x.auth.example.test" }},
		{"an unencrypted origin", func(k *authenticator.Passkey) { k.Origin = "http://auth.example.test" }},
		{"another RP ID", func(k *authenticator.Passkey) { k.RPID = "evil.example.test" }},
		{"the parent domain as RP ID", func(k *authenticator.Passkey) { k.RPID = "example.test" }},
		{"another user", func(k *authenticator.Passkey) { k.UserHandle = otherUser }},
		{"a user handle that is no account", func(k *authenticator.Passkey) { k.UserHandle = []byte("x") }},
		{"a bad signature", func(k *authenticator.Passkey) { k.ForgeNext = true }},
		{"an unknown credential ID", func(k *authenticator.Passkey) { k.ID = make([]byte, 32) }},
		{"user presence cleared", func(k *authenticator.Passkey) { k.Flags &^= authenticator.UserPresent }},
		{"backed up, not eligible", func(k *authenticator.Passkey) {
			k.Flags = authenticator.UserPresent | authenticator.UserVerified | authenticator.BackedUp
		}},
		{"backup eligible cleared", func(k *authenticator.Passkey) { k.Flags &^= authenticator.BackupEligible }},
		{"the counter stays", func(k *authenticator.Passkey) { k.Counter-- }},
		{"the counter goes back to zero", func(k *authenticator.Passkey) { k.Counter = 0 }},
	}
}

// passkeyDoor is an operation that takes the response of a passkey, and the status with which it refuses one.
type passkeyDoor struct {
	name   string
	begin  func() (ceremony, challenge string)
	use    func(ceremony string, credential client.PasskeyCredential) (status int, body []byte)
	status int
}

// passkeyDoors returns the operations that take the assertion of a passkey. The person's second factor is on.
func (p *person) passkeyDoors() []passkeyDoor {
	forLogin := func() (string, string) {
		began := p.api().BeginPasskeyLogin().JSON200
		return began.Ceremony, began.Options.Challenge
	}
	var ticket string
	afterPassword := func() (string, string) {
		r := p.tryLogin(p.password)
		p.want("log in with the password", r.StatusCode(), 403)
		ticket = r.JSON403.Ticket
		return r.JSON403.Passkey.Ceremony, r.JSON403.Passkey.Options.Challenge
	}
	return []passkeyDoor{
		{"login", forLogin, func(ceremony string, credential client.PasskeyCredential) (int, []byte) {
			r := p.api().PasskeyLogin(client.PasskeyLogInRequest{Ceremony: ceremony, Credential: credential, ClientID: "test_v1"})
			return r.StatusCode(), r.Body
		}, 404},
		{"step-up", forLogin, func(ceremony string, credential client.PasskeyCredential) (int, []byte) {
			r := p.api().StepUpBy(p.session.AccessToken, client.StepUpSessionRequest{
				Passkey: &client.PasskeyAssertion{Ceremony: ceremony, Credential: credential},
			})
			return r.StatusCode(), r.Body
		}, 403},
		{"second factor", afterPassword, func(ceremony string, credential client.PasskeyCredential) (int, []byte) {
			r := p.api().LoginBySecondFactor(client.SecondFactorRequest{
				Ticket: ticket, Passkey: &client.PasskeyAssertion{Ceremony: ceremony, Credential: credential},
			})
			return r.StatusCode(), r.Body
		}, 403},
	}
}

// newKeyHolder joins with a synced passkey that counts, and turns the second factor on.
func newKeyHolder(t *testing.T, s *harness.Service) (*person, *authenticator.Passkey) {
	t.Helper()
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	key, _ := p.addPasskey("key", func(k *authenticator.Passkey) {
		k.Flags |= authenticator.BackupEligible
		k.Counter, k.Step = 5, 1
	})
	p.want("turn the second factor on", p.api().TurnOnSecondFactor(p.session.AccessToken).StatusCode(), 200)
	p.notice()
	return p, key
}

// TestPasskeyAttacks presents at each door what an attacker could: none lets them in or writes anything, and the key still works after it.
func TestPasskeyAttacks(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, key := newKeyHolder(t, s)
		_, otherKey := newKeyHolder(t, s)
		for _, door := range p.passkeyDoors() {
			try := func(what string, with *authenticator.Passkey, want int) {
				t.Helper()
				ceremony, challenge := door.begin()
				if status, body := door.use(ceremony, harness.Assert(t, with, challenge)); status != want {
					t.Errorf("%s, %s: %d %s", door.name, what, status, body)
				}
			}
			for _, attack := range passkeyAttacks(otherKey.UserHandle) {
				copied := key.Copy()
				attack.change(copied)
				try(attack.name, copied, door.status)
			}
			if door.name != "second factor" {
				weak := key.Copy()
				weak.Flags &^= authenticator.UserVerified
				try("user verification cleared", weak, door.status)
			}
			ceremony, _ := door.begin()
			if status, body := door.use(ceremony, harness.Assert(t, key.Copy(), base64.RawURLEncoding.EncodeToString(make([]byte, 32)))); status != door.status {
				t.Errorf("%s, another challenge: %d %s", door.name, status, body)
			}
			if door.name != "login" {
				try("another user's passkey", otherKey.Copy(), door.status)
			}

			ceremony, challenge := door.begin()
			response := harness.Assert(t, key, challenge)
			if status, body := door.use(ceremony, response); status != 200 {
				t.Errorf("%s: %d %s", door.name, status, body)
			}
			if status, body := door.use(ceremony, response); status != door.status {
				t.Errorf("%s, replayed: %d %s", door.name, status, body)
			}
			if status, body := door.use(ceremony, harness.Assert(t, key.Copy(), challenge)); status != door.status {
				t.Errorf("%s, used ceremony: %d %s", door.name, status, body)
			}
		}
		if n := strings.Count(s.Log(), `"msg":"passkey.clone_suspected"`); n != 2*3 { // not for a replay
			t.Errorf("%d events of clones", n)
		}
		if n := strings.Count(s.Log(), `"reason":"wrong_passkey"`); n != 18 {
			t.Errorf("%d failed logins", n)
		}
	})
}

// TestPasskeyCeremonyPurposes presents the ceremony of each purpose at the doors of the others.
func TestPasskeyCeremonyPurposes(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, key := newKeyHolder(t, s)
		other, otherKey := newKeyHolder(t, s)
		doors := p.passkeyDoors()
		login, stepUp, second := doors[0], doors[1], doors[2]
		registration := passkeyDoor{name: "registration", begin: func() (string, string) {
			began := p.api().BeginPasskey(p.session.AccessToken)
			p.want("begin to add a passkey", began.StatusCode(), 200)
			return began.JSON200.Ceremony, began.JSON200.Options.Challenge
		}}
		// A client that has authenticated lately can begin all of them.
		p.session = *p.tryPasskey(key).JSON200
		for _, c := range []struct{ from, to passkeyDoor }{
			{registration, login}, {registration, stepUp}, {registration, second}, {second, login}, {second, stepUp}, {login, second},
		} {
			_, _ = second.begin() // the ticket
			ceremony, challenge := c.from.begin()
			if status, body := c.to.use(ceremony, harness.Assert(t, key, challenge)); status != c.to.status {
				t.Errorf("a ceremony for a %s at the %s: %d %s", c.from.name, c.to.name, status, body)
			}
		}
		for _, from := range []passkeyDoor{login, second} {
			ceremony, challenge := from.begin()
			fresh, err := authenticator.New(passkeyOrigin, key.RPID, key.UserHandle)
			if err != nil {
				t.Fatal(err)
			}
			r := p.api().AddPasskey(p.session.AccessToken, client.AddPasskeyRequest{
				Ceremony: ceremony, Name: "x", Credential: harness.Register(t, fresh, challenge),
			})
			if r.StatusCode() != 409 || r.JSON409.Message != "CEREMONY_EXPIRED" {
				t.Errorf("a ceremony for a %s at add_passkey: %d %s", from.name, r.StatusCode(), r.Body)
			}
		}
		// The second factor of one user, in the login of another.
		ceremony, challenge := other.passkeyDoors()[2].begin()
		_, _ = second.begin()
		for _, with := range []*authenticator.Passkey{key, otherKey} {
			if status, body := second.use(ceremony, harness.Assert(t, with, challenge)); status != 403 {
				t.Errorf("another user's ceremony: %d %s", status, body)
			}
		}
	})
}

// TestPasskeyMayBecomeSynced accepts a passkey that its authenticator has learned to copy, and then knows it as synced.
func TestPasskeyMayBecomeSynced(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		key, _ := p.addPasskey("key", nil)
		key.Flags |= authenticator.BackupEligible | authenticator.BackedUp
		r := p.tryPasskey(key)
		p.want("log in", r.StatusCode(), 200)
		if claims := claimsOf(t, r.JSON200.AccessToken); claims.Methods[0] != "swk" || !p.passkeys()[0].Synced {
			t.Errorf("claims %+v, passkeys %+v", claims, p.passkeys())
		}
		key.Flags &^= authenticator.BackupEligible | authenticator.BackedUp
		p.want("log in with what cannot be copied", p.tryPasskey(key).StatusCode(), 404)
	})
}

// A login with a passkey neither needs nor changes what the limits know of the password, and only failures count, by client IP.
func TestPasskeyLimits(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_LIMITS=on", "AUTH_LIMIT_LOGIN_ACCOUNT=1/24h", "AUTH_LIMIT_LOGIN_SOURCE=5/24h",
			"AUTH_CLIENT_IDS=test_v1")
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		key, _ := p.addPasskey("key", nil)
		p.want("a wrong password", p.tryLogin("wrong").StatusCode(), 404)
		failures := func() int { return s.Count(t, "SELECT sum(failures) FROM login_failure") }
		before := failures()
		for range 8 {
			p.want("log in with a passkey", p.tryPasskey(key).StatusCode(), 200)
		}
		other := p.passkeyLogin(key)
		other.ClientID = "other_v1"
		p.want("an unknown client", p.api().PasskeyLogin(other).StatusCode(), 400)
		for range 4 {
			forged := key.Copy()
			forged.ForgeNext = true
			p.want("a forged signature", p.tryPasskey(forged).StatusCode(), 404)
		}
		p.want("after four more failures", p.tryPasskey(key).StatusCode(), 429)
		if after := failures(); before != 1 || after != before {
			t.Errorf("%d failures of the password, then %d", before, after)
		}
	})
}

// A passkey of a user who is disabled does not log in. One of a user with a mailed password leaves that alone.
func TestPasskeyOfADisabledUser(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		key, _ := p.addPasskey("key", nil)
		p.want("reset", p.resetPassword().StatusCode(), 204)
		p.open(p.mail().Link(t))
		mailed := p.mail().Password(t)
		p.want("log in beside a mailed password", p.tryPasskey(key).StatusCode(), 200)
		p.want("log in with the older password", p.tryLogin(p.password).StatusCode(), 200)
		p.want("log in with the mailed password", p.tryLogin(mailed).StatusCode(), 200)
		if _, err := s.Command(t.Context(), "user", "disable", p.email); err != nil {
			t.Fatal(err)
		}
		p.want("log in while disabled", p.tryPasskey(key).StatusCode(), 404)
		if n := s.Count(t, "SELECT count(*) FROM used_challenge"); n != 2 { // the registration and the login
			t.Errorf("%d used challenges", n)
		}
	})
}

// Of 16 simultaneous logins with one response, one succeeds, although the authenticator does not count.
func TestRacePasskeyReplay(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		key, _ := p.addPasskey("key", nil)
		for range roundsOn(engine) {
			request := p.passkeyLogin(key)
			succeeded := 0
			for _, r := range concurrently(16, func(int) *client.CreateAccessTokenByPasskeyResponse { return p.api().PasskeyLogin(request) }) {
				switch r.StatusCode() {
				case 200:
					succeeded++
				case 404:
				default:
					t.Fatalf("status %d: %s", r.StatusCode(), r.Body)
				}
			}
			if succeeded != 1 {
				t.Fatalf("%d logins succeeded", succeeded)
			}
		}
	})
}

// A user with 19 passkeys who adds two at the same time has 20.
func TestRacePasskeysAtTheMaximum(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		for i := range 19 {
			_, r := p.tryAddPasskey(fmt.Sprint(i), nil)
			p.want("add", r.StatusCode(), 201)
		}
		for round := range roundsOn(engine) {
			var requests [2]client.AddPasskeyRequest
			for i := range requests {
				began := p.api().BeginPasskey(p.session.AccessToken)
				p.want("begin", began.StatusCode(), 200)
				key := harness.NewPasskey(t, passkeyOrigin, began.JSON200.Options)
				requests[i] = client.AddPasskeyRequest{
					Ceremony: began.JSON200.Ceremony, Name: "race", Credential: harness.Register(t, key, began.JSON200.Options.Challenge),
				}
			}
			responses := concurrently(2, func(i int) *client.AddPasskeyResponse { return p.api().AddPasskey(p.session.AccessToken, requests[i]) })
			if a, b := responses[0].StatusCode(), responses[1].StatusCode(); a+b != 201+409 || a != 201 && b != 201 {
				t.Fatalf("round %d: %d %s and %d %s", round, a, responses[0].Body, b, responses[1].Body)
			}
			s.Exec(t, "DELETE FROM passkey WHERE name = 'race'")
		}
	})
}
