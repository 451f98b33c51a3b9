package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/authenticator"
	"github.com/financelime/authorization/test/harness"
)

// passkeyOrigin is the origin of the public URL in the tests.
const passkeyOrigin = "https://auth.example.test"

// tryAddPasskey adds a passkey with a name, and returns it with the response. change makes it another one than a real authenticator would.
func (p *person) tryAddPasskey(name string, change func(*authenticator.Passkey)) (*authenticator.Passkey, *client.AddPasskeyResponse) {
	p.t.Helper()
	began := p.api().BeginPasskey(p.session.AccessToken)
	p.want("begin to add a passkey", began.StatusCode(), 200)
	key := harness.NewPasskey(p.t, passkeyOrigin, began.JSON200.Options)
	if change != nil {
		change(key)
	}
	return key, p.api().AddPasskey(p.session.AccessToken, client.AddPasskeyRequest{
		Ceremony: began.JSON200.Ceremony, Name: name, Credential: harness.Register(p.t, key, began.JSON200.Options.Challenge),
	})
}

// notice waits for the person's next mail without a link or a password.
func (p *person) notice() harness.Mail {
	p.t.Helper()
	p.notices++
	return p.s.WaitNotices(p.t, p.email, p.notices)[0]
}

// addPasskey adds a passkey and reads the mail about it.
func (p *person) addPasskey(name string, change func(*authenticator.Passkey)) (*authenticator.Passkey, client.Passkey) {
	p.t.Helper()
	key, r := p.tryAddPasskey(name, change)
	p.want("add a passkey", r.StatusCode(), 201)
	p.notice()
	return key, *r.JSON201
}

// passkeyLogin returns the request of a login with a passkey.
func (p *person) passkeyLogin(key *authenticator.Passkey) client.PasskeyLogInRequest {
	p.t.Helper()
	began := p.api().BeginPasskeyLogin()
	p.want("begin a login with a passkey", began.StatusCode(), 200)
	return client.PasskeyLogInRequest{
		Ceremony: began.JSON200.Ceremony, Credential: harness.Assert(p.t, key, began.JSON200.Options.Challenge),
		ClientID: "test_v1", Device: device("Linux x86_64"),
	}
}

// tryPasskey logs in with a passkey.
func (p *person) tryPasskey(key *authenticator.Passkey) *client.CreateAccessTokenByPasskeyResponse {
	p.t.Helper()
	return p.api().PasskeyLogin(p.passkeyLogin(key))
}

// passkeys lists the passkeys.
func (p *person) passkeys() []client.Passkey {
	p.t.Helper()
	r := p.api().ListPasskeys(p.session.AccessToken)
	p.want("list the passkeys", r.StatusCode(), 200)
	return *r.JSON200
}

// TestPasskeyLife walks from the first passkey to the removal of the last one.
func TestPasskeyLife(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, other := newPerson(t, s).join(s.Invite(t, 1)), newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		other.login()
		if list := p.passkeys(); len(list) != 0 {
			t.Errorf("a new user has passkeys: %+v", list)
		}
		phone, added := p.addPasskey("  Телефон ", func(k *authenticator.Passkey) {
			k.Flags |= authenticator.BackupEligible | authenticator.BackedUp
			k.Extensions = map[string]any{"appid": false, "credProps": map[string]any{"rk": true}, "surprise": 1}
		})
		if added.Name != "  Телефон " || !added.Synced || !added.Usable || added.UsedAt != nil {
			t.Errorf("added %+v", added)
		}
		if list := p.passkeys(); len(list) != 1 || list[0] != added {
			t.Errorf("listed %+v, added %+v", list, added)
		}
		key, _ := p.addPasskey("Key", func(k *authenticator.Passkey) { k.Counter, k.Step = 7, 1 })
		if password := p.tryLogin(p.password); password.StatusCode() != 200 {
			t.Errorf("after a passkey was added, the password gets %d", password.StatusCode())
		}

		for _, c := range []struct {
			key     *authenticator.Passkey
			methods []string
		}{{phone, []string{"swk", "user", "mfa"}}, {key, []string{"hwk", "user", "mfa"}}, {key, []string{"hwk", "user", "mfa"}}} {
			r := p.tryPasskey(c.key)
			p.want("log in with a passkey", r.StatusCode(), 200)
			if claims := claimsOf(t, r.JSON200.AccessToken); claims.Level != "aal2" || !slices.Equal(claims.Methods, c.methods) {
				t.Errorf("claims %+v, want %v", claims, c.methods)
			}
			p.session = *r.JSON200
			p.refresh()
		}
		list := p.passkeys()
		if len(list) != 2 || list[0].UsedAt == nil || list[1].UsedAt == nil || !list[1].UsedAt.After(*list[0].UsedAt) || list[1].Synced {
			t.Errorf("after logins: %+v", list)
		}
		p.wantNoticeOfAnotherDevice(phone)
		p.renamePasskeys(other, list)
		p.removePasskeys(other, list, phone)
		for event, n := range map[string]int{"factor.added": 2, "factor.removed": 2} {
			if got := strings.Count(s.Log(), `"msg":"`+event+`"`); got != n {
				t.Errorf("%d events %s, want %d", got, event, n)
			}
		}
	})
}

// wantNoticeOfAnotherDevice logs in on a new device, which is reported by e-mail.
func (p *person) wantNoticeOfAnotherDevice(key *authenticator.Passkey) {
	p.t.Helper()
	request := p.passkeyLogin(key)
	request.Device = device("Toaster")
	p.want("log in on a new device", p.api().PasskeyLogin(request).StatusCode(), 200)
	if m := p.notice(); !strings.Contains(m.Text, "Toaster") {
		p.t.Errorf("the mail about a new device: %s", m.Text)
	}
}

func (p *person) renamePasskeys(other *person, list []client.Passkey) {
	p.t.Helper()
	first, second := list[0].PasskeyID, list[1].PasskeyID
	p.want("rename", p.api().RenamePasskey(p.session.AccessToken, first, "Old phone").StatusCode(), 204)
	p.want("rename that of another user", other.api().RenamePasskey(other.session.AccessToken, second, "Mine").StatusCode(), 204)
	p.want("rename an unknown one", p.api().RenamePasskey(p.session.AccessToken, "x", "Mine").StatusCode(), 204)
	for _, name := range []string{" ", "\u2003\u00a0", "\u200b\ufeff "} {
		r := p.api().RenamePasskey(p.session.AccessToken, first, name)
		p.want("rename to blanks", r.StatusCode(), 400)
		if r.JSON400.Parameters == nil || !slices.Equal(*r.JSON400.Parameters, []string{"name"}) {
			p.t.Errorf("rejected %v", r.JSON400.Parameters)
		}
	}
	if now := p.passkeys(); now[0].Name != "Old phone" || now[1].Name != "Key" {
		p.t.Errorf("after renaming: %+v", now)
	}
}

func (p *person) removePasskeys(other *person, list []client.Passkey, first *authenticator.Passkey) {
	p.t.Helper()
	p.want("remove that of another user", other.api().RemovePasskey(other.session.AccessToken, list[0].PasskeyID).StatusCode(), 204)
	p.want("remove an unknown one", p.api().RemovePasskey(p.session.AccessToken, someSession).StatusCode(), 204)
	if now := p.passkeys(); len(now) != 2 {
		p.t.Fatalf("left: %+v", now)
	}
	for _, passkey := range list {
		p.want("remove", p.api().RemovePasskey(p.session.AccessToken, passkey.PasskeyID).StatusCode(), 204)
		p.notice()
		p.want("remove again", p.api().RemovePasskey(p.session.AccessToken, passkey.PasskeyID).StatusCode(), 204)
	}
	p.want("log in with a removed passkey", p.tryPasskey(first).StatusCode(), 404)
	if now := p.passkeys(); len(now) != 0 {
		p.t.Errorf("left: %+v", now)
	}
}

// While the second factor is on, the last passkey that works stays, unless there is TOTP. One for another domain can always go.
func TestLastPasskey(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		_, older := p.addPasskey("of an older domain", nil)
		s.Exec(t, "UPDATE passkey SET rp_id = 'older.example.test'")
		key, last := p.addPasskey("last", nil)
		s.Exec(t, "UPDATE account SET second_factor_since = created_at WHERE email = $1", p.email)
		p.session = *p.tryPasskey(key).JSON200
		if list := p.passkeys(); list[0].Usable || !list[1].Usable {
			t.Errorf("usable: %+v", list)
		}
		remove := func(what string, passkey client.Passkey, want int) {
			t.Helper()
			r := p.api().RemovePasskey(p.session.AccessToken, passkey.PasskeyID)
			p.want(what, r.StatusCode(), want)
		}
		remove("the last one", last, 409)
		s.Exec(t, "INSERT INTO totp (account_id, sealed, confirmed_at) SELECT id, $1, created_at FROM account WHERE email = $2", []byte{1}, p.email)
		s.Exec(t, "UPDATE totp SET sealed = NULL, pending_sealed = $1, pending_at = confirmed_at, confirmed_at = NULL", []byte{1})
		remove("the last one, with an unconfirmed TOTP", last, 409)
		remove("the one of another domain", older, 204)
		s.Exec(t, "UPDATE totp SET sealed = $1, confirmed_at = pending_at", []byte{1})
		remove("the last one, with TOTP", last, 204)
	})
}

// TestPasskeyIsRefused expects 400 or 409 for what cannot be added.
func TestPasskeyIsRefused(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p, other := newPerson(t, s).join(s.Invite(t, 1)), newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		other.login()
		for what, change := range map[string]func(*authenticator.Passkey){
			"another origin":          func(k *authenticator.Passkey) { k.Origin = "https://evil.example.test" },
			"another port":            func(k *authenticator.Passkey) { k.Origin += ":8443" },
			"another RP ID":           func(k *authenticator.Passkey) { k.RPID = "example.test" },
			"no user presence":        func(k *authenticator.Passkey) { k.Flags = authenticator.UserVerified },
			"another algorithm":       func(k *authenticator.Passkey) { k.Algorithm = -47 },
			"backed up, not eligible": func(k *authenticator.Passkey) { k.Flags |= authenticator.BackedUp },
			"an ID that is too long":  func(k *authenticator.Passkey) { k.ID = make([]byte, 1024) },
		} {
			_, r := p.tryAddPasskey("x", change)
			if r.StatusCode() != 400 || r.JSON400.Parameters == nil || !slices.Equal(*r.JSON400.Parameters, []string{"credential"}) {
				t.Errorf("%s: %d %s", what, r.StatusCode(), r.Body)
			}
		}
		began := p.api().BeginPasskey(p.session.AccessToken).JSON200
		key := harness.NewPasskey(t, passkeyOrigin, began.Options)
		request := client.AddPasskeyRequest{Ceremony: began.Ceremony, Name: "\t "[1:], Credential: harness.Register(t, key, began.Options.Challenge)}
		p.want("a name of blanks", p.api().AddPasskey(p.session.AccessToken, request).StatusCode(), 400)
		request.Name = "x"
		request.Credential = harness.Register(t, key, p.api().BeginPasskey(p.session.AccessToken).JSON200.Options.Challenge)
		p.want("another challenge", p.api().AddPasskey(p.session.AccessToken, request).StatusCode(), 400)
		request.Credential = harness.Register(t, key, began.Options.Challenge)

		wantConflict := func(what string, r *client.AddPasskeyResponse, message client.AddPasskeyFailure409Message) {
			t.Helper()
			if r.StatusCode() != 409 || r.JSON409.Message != message {
				t.Errorf("%s: %d %s, want %s", what, r.StatusCode(), r.Body, message)
			}
		}
		wantConflict("the ceremony of another user", other.api().AddPasskey(other.session.AccessToken, request), "CEREMONY_EXPIRED")
		first := p.session
		p.login()
		wantConflict("the ceremony of another session", p.api().AddPasskey(p.session.AccessToken, request), "CEREMONY_EXPIRED")
		p.session = first
		forLogin := request
		forLogin.Ceremony = p.api().BeginPasskeyLogin().JSON200.Ceremony
		wantConflict("a ceremony for logins", p.api().AddPasskey(p.session.AccessToken, forLogin), "CEREMONY_EXPIRED")
		p.want("add", p.api().AddPasskey(p.session.AccessToken, request).StatusCode(), 201)
		p.notice()
		wantConflict("again", p.api().AddPasskey(p.session.AccessToken, request), "CEREMONY_EXPIRED")
		for _, who := range []*person{p, other} {
			_, r := who.tryAddPasskey("known", func(k *authenticator.Passkey) { k.ID = key.ID })
			wantConflict("a known credential ID", r, "PASSKEY_ALREADY_ADDED")
		}
		if n := s.Count(t, "SELECT count(*) FROM passkey"); n != 1 {
			t.Errorf("%d passkeys were stored", n)
		}
		s.AgeAuthentications(t, 11*time.Minute)
		p.want("begin without a recent authentication", p.api().BeginPasskey(p.session.AccessToken).StatusCode(), 403)
		p.want("add without a recent authentication", p.api().AddPasskey(p.session.AccessToken, request).StatusCode(), 403)
		p.want("remove without a recent authentication", p.api().RemovePasskey(p.session.AccessToken, someSession).StatusCode(), 403)
	})
}

// Twenty passkeys with the longest IDs fit into every request and response, and the twenty-first is refused.
func TestMostPasskeys(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine)
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		var last *authenticator.Passkey
		for i := range 20 {
			last, _ = p.addPasskey(fmt.Sprint(i), func(k *authenticator.Passkey) {
				k.ID = slices.Concat(k.ID, make([]byte, 1023-len(k.ID)))
				k.Transports = []string{"usb", "nfc", "ble", "smart-card", "hybrid", "internal", "<script>"}
			})
			if i == 18 {
				excluded := *p.api().BeginPasskey(p.session.AccessToken).JSON200.Options.ExcludeCredentials
				if len(excluded) != 19 || len(*excluded[0].Transports) != 6 {
					t.Errorf("%d excluded: %+v", len(excluded), excluded[0])
				}
			}
		}
		p.want("log in", p.tryPasskey(last).StatusCode(), 200)
		r := p.api().BeginPasskey(p.session.AccessToken)
		if r.StatusCode() != 409 || r.JSON409.Message != "TOO_MANY_PASSKEYS" {
			t.Errorf("the twenty-first: %d %s", r.StatusCode(), r.Body)
		}
	})
}

// TestPasskeyDomains tests which domains have passkeys, and from which origins they work.
func TestPasskeyDomains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, id        string
		settings        []string
		origins, others []string
	}{
		{"the default", "auth.localhost", []string{"AUTH_PUBLIC_URL=http://auth.localhost:8080"},
			[]string{"http://auth.localhost:8080"}, []string{"http://auth.localhost", "http://localhost:8080", "https://auth.localhost:8080"}},
		{"a parent domain, websites and an app", "example.test", []string{
			"AUTH_PASSKEY_RP_ID=example.test", "AUTH_PASSKEY_ORIGINS=https://app.example.test,android:apk-key-hash:abc,https://example.test",
		}, []string{"https://app.example.test", "android:apk-key-hash:abc", "https://example.test"}, []string{passkeyOrigin, "android:apk-key-hash:abd"}},
		{"a parent domain of the public URL", "example.test", []string{"AUTH_PASSKEY_RP_ID=example.test"},
			[]string{passkeyOrigin}, []string{"https://example.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, binary, contract, harness.SQLite, c.settings...)
			p := newPerson(t, s).join(s.Invite(t, 1))
			p.login()
			for i, origin := range append(c.origins, c.others...) {
				want := 201
				if i >= len(c.origins) {
					want = 400
				}
				key, r := p.tryAddPasskey(origin, func(k *authenticator.Passkey) { k.Origin = origin })
				if r.StatusCode() != want || key.RPID != c.id {
					t.Errorf("%s, RP ID %s: %d", origin, key.RPID, r.StatusCode())
				}
				if want == 201 {
					p.want("log in", p.tryPasskey(key).StatusCode(), 200)
				}
			}
		})
	}
}

// A service whose host is an IP address has no passkeys. Those of an older domain can be seen, renamed and removed.
func TestNoPasskeyDomain(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_PUBLIC_URL=http://127.0.0.1:8080")
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		s.Exec(t, `INSERT INTO passkey (id, account_id, rp_id, credential_id, public_key, sign_count, flags, transports, name, created_at)
			SELECT id, id AS account_id, 'older.example.test', $1, $1, 0, 0, '', 'old', created_at FROM account`, []byte{1})
		key, err := authenticator.New(passkeyOrigin, "older.example.test", nil)
		if err != nil {
			t.Fatal(err)
		}
		list := p.passkeys()
		if len(list) != 1 || list[0].Usable {
			t.Fatalf("listed %+v", list)
		}
		p.want("rename", p.api().RenamePasskey(p.session.AccessToken, list[0].PasskeyID, "older").StatusCode(), 204)
		p.want("begin to add", p.api().BeginPasskey(p.session.AccessToken).StatusCode(), 404)
		p.want("add", p.api().AddPasskey(p.session.AccessToken, client.AddPasskeyRequest{
			Ceremony: "a.b.c", Name: "x", Credential: harness.Register(t, key, "AA"),
		}).StatusCode(), 404)
		p.want("begin a login", p.api().BeginPasskeyLogin().StatusCode(), 404)
		p.want("log in", p.api().PasskeyLogin(client.PasskeyLogInRequest{
			Ceremony: "a.b.c", Credential: harness.Assert(t, key, "AA"), ClientID: "test_v1",
		}).StatusCode(), 404)
		p.want("remove", p.api().RemovePasskey(p.session.AccessToken, list[0].PasskeyID).StatusCode(), 204)
	})
}
