package contract

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/test/harness"
)

// set changes a setting of a service for its next start and for its commands; "" removes it.
func set(s *harness.Service, name, value string) {
	s.Env = slices.DeleteFunc(slices.Clone(s.Env), func(e string) bool { return strings.HasPrefix(e, name+"=") })
	if value != "" {
		s.Env = append(s.Env, name+"="+value)
	}
}

// noRelay is the URL of a mail server that does not exist.
const noRelay = "smtp://127.0.0.1:1?tls=none"

func newSecret(t *testing.T) string {
	t.Helper()
	root, err := secret.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return root.Encode()
}

// TestChangeOfSecret changes AUTH_SECRET while everything that depends on it is in use: sessions, links and passwords in the mail queue and
// in mailboxes, invites, signing keys.
func TestChangeOfSecret(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		before, after := newSecret(t), newSecret(t)
		s := harness.New(t, binary, contract, engine)
		set(s, "AUTH_SECRET", before)
		s.Run(t)
		code := s.Invite(t, 10)
		in, away := newPerson(t, s).join(code), newPerson(t, s).join(code)
		in.login()
		away.login()
		invited, linked, confirmed, mailed := newPerson(t, s), newPerson(t, s), newPerson(t, s), newPerson(t, s)
		for _, p := range []*person{confirmed, mailed} {
			p.want("sign up", p.signUp(code).StatusCode(), 204)
		}
		mailed.want("open the link", mailed.open(mailed.mail().Link(t)).StatusCode, 200)
		inMailbox := confirmed.mail().Link(t) // not opened yet
		mailed.password = mailed.mail().Password(t)

		// Now one mail of each kind waits. The first attempt to send a password makes it the pending one, before any mail leaves.
		restart(t, s, "AUTH_MAIL_URL", noRelay)
		confirmed.want("open the link", confirmed.open(inMailbox).StatusCode, 200)
		eventually(t, "the password is pending", func() bool {
			return s.Count(t, "SELECT count(*) FROM account WHERE pending_password_hash IS NOT NULL AND email = $1", confirmed.email) == 1
		})
		linked.want("sign up", linked.signUp(code).StatusCode(), 204)
		in.want("reset", in.resetPassword().StatusCode(), 204)
		waiting := newPerson(t, s)
		waiting.want("sign up", waiting.signUp(code).StatusCode(), 204)

		set(s, "AUTH_SECRET_PREVIOUS", before)
		set(s, "AUTH_MAIL_URL", "")
		restart(t, s, "AUTH_SECRET", after)
		// An earlier session and its access token.
		in.sessions()
		in.refresh()
		in.sessions()
		// Links and passwords that were in the queue.
		linked.want("a link that waited", linked.open(linked.mail().Link(t)).StatusCode, 200)
		linked.password = linked.mail().Password(t)
		linked.login()
		in.want("a reset link that waited", in.open(in.mail().Link(t)).StatusCode, 200)
		in.password = in.mail().Password(t)
		in.login()
		confirmed.password = confirmed.mail().Password(t)
		confirmed.login()
		// A link that was mailed before, and one that is mailed again.
		mailed.login()
		first := waiting.mail().Link(t)
		waiting.want("resend", waiting.resetPassword().StatusCode(), 204)
		if again := waiting.mail().Link(t); again.Path != first.Path {
			t.Error("a repeated link is another one")
		}
		waiting.want("the link", waiting.open(first).StatusCode, 200)
		// The invite, in sign-ups and in commands.
		invited.join(code).login()
		if _, err := s.Command(t.Context(), "invite", "create", "--code="+code); err == nil || !strings.Contains(err.Error(), "already exists") {
			t.Errorf("the same code under the new secret: %v", err)
		}
		newCode := s.Invite(t, 1)

		// The old secret is removed. What was renewed since remains valid, the rest ends properly.
		restart(t, s, "AUTH_SECRET_PREVIOUS", "")
		in.sessions()
		in.refresh()
		away.want("a session that nobody refreshed", away.tryRefresh(away.session.RefreshToken).StatusCode(), 400)
		away.login()
		late := newPerson(t, s)
		late.want("an invite of before", late.signUp(code).StatusCode(), 404)
		late.join(newCode).login()
		if _, err := s.Command(t.Context(), "keys", "list"); err != nil {
			t.Errorf("keys list: %v", err)
		}

		wantWrongSecretRefused(t, s, before, code)
		set(s, "AUTH_SECRET", after)
		s.Run(t)
		in.refresh()
	})
}

// wantWrongSecretRefused expects the service and its commands to recognise a wrong secret immediately.
func wantWrongSecretRefused(t *testing.T, s *harness.Service, wrong, code string) {
	t.Helper()
	s.Stop(t)
	set(s, "AUTH_SECRET", wrong)
	for _, args := range [][]string{nil, {"keys", "list"}, {"keys", "rotate"}, {"invite", "create"}, {"invite", "revoke", code}, {"mail", "retry", "--dead"}} {
		refusesSecret(t, s, args...)
	}
}

func restart(t *testing.T, s *harness.Service, name, value string) {
	t.Helper()
	s.Stop(t)
	set(s, name, value)
	s.Run(t)
}

// refusesSecret checks that a command ends with status 1 and one sentence about AUTH_SECRET.
func refusesSecret(t *testing.T, s *harness.Service, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.Binary, args...)
	cmd.Dir, cmd.Env = s.Dir, s.Env
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	said = said[strings.LastIndexByte(said, '\n')+1:] // after warnings
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.HasPrefix(said, "financelime-auth: ") ||
		!strings.Contains(said, "AUTH_SECRET does not match the database") {
		t.Errorf("%v with a wrong secret: %v\n%s", args, err, said)
	}
}

// TestChangeOfSecretReplicaByReplica runs two replicas at consecutive steps of the change, in both directions.
func TestChangeOfSecretReplicaByReplica(t *testing.T) {
	t.Parallel()
	before, after := newSecret(t), newSecret(t)
	first := harness.New(t, binary, contract, harness.Postgres)
	set(first, "AUTH_SECRET", before)
	second := harness.New(t, binary, contract, harness.SQLite)
	second.Env, second.DatabaseURL = first.Env, first.DatabaseURL
	first.Run(t)
	second.Run(t)
	p := newPerson(t, first).join(first.Invite(t, 1))
	p.login()
	both := func() {
		t.Helper()
		for _, s := range []*harness.Service{second, first, second, first} {
			p.s = s
			p.refresh()
			p.sessions()
		}
	}
	both()
	for _, step := range [][2]string{{before, after}, {after, before}, {after, ""}} {
		for _, s := range []*harness.Service{second, first} {
			set(s, "AUTH_SECRET_PREVIOUS", step[1])
			restart(t, s, "AUTH_SECRET", step[0])
			both()
			if s == second { // the first one, still at the previous step, reads the keys when it starts
				first.Stop(t)
				first.Run(t)
				both()
			}
		}
	}
	if n := strings.Count(first.Log()+second.Log(), "keys.resealed"); n != 1 {
		t.Errorf("the key was sealed anew %d times", n)
	}
	// No replica failed to read the keys.
	for _, s := range []*harness.Service{first, second} {
		if strings.Contains(s.Log(), "keys.refresh_failed") {
			t.Error("a replica could not read the keys")
		}
	}
}

// TestChangeOfSecretInAFile changes the secret in its file: on SQLite without a setting.
func TestChangeOfSecretInAFile(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	p := newPerson(t, s).join(s.Invite(t, 1))
	p.login()
	s.Stop(t)
	file := s.Dir + "/data/secret"
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(newSecret(t)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refusesSecret(t, s)
	set(s, "AUTH_SECRET_PREVIOUS_FILE", file+".old")
	s.Run(t)
	p.refresh()
	restart(t, s, "AUTH_SECRET_PREVIOUS_FILE", "")
	p.refresh()
}
