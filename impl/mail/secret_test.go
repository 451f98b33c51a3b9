package mail

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/impl/link"
	"github.com/financelime/authorization/impl/secret"
)

// After a change of AUTH_SECRET, mails still have the links and passwords of the old secret. If the old secret is no longer configured, they
// wait for it instead of being sent with a secret that does not work.
func TestMailsAfterSecretChange(t *testing.T) {
	onBothEngines(t, func(t *testing.T, f *fixture) {
		before := f.Root
		after, err := secret.Generate()
		if err != nil {
			t.Fatal(err)
		}
		use := func(root secret.Root) { f.Root, f.Links = root, link.New(root) }
		account := f.account(t, "jane@example.org", "en")
		linkMail, confirmation := f.enqueueLink(t, account, "password", 24*time.Hour)
		passwordMail := f.enqueuePassword(t, account)

		// An attempt whose reply is lost: the recipient may have the mails already.
		f.transport.failWith(func(context.Context, Envelope) error { return errors.New("cut") })
		for f.deliverNext(t) {
		}
		first := f.transport.attempts()
		if len(first) != 2 {
			t.Fatalf("%d attempts", len(first))
		}

		use(after)
		f.transport.failWith(nil)
		f.clock.Advance(time.Hour)
		for f.deliverNext(t) {
		}
		if len(f.transport.sent()) != 0 {
			t.Error("a mail was sent without its secret")
		}
		wait := row{Attempts: 2, LastError: f.row(t, linkMail).LastError}
		f.expectRow(t, linkMail, wait)
		for _, id := range []row{f.row(t, linkMail), f.row(t, passwordMail)} {
			if !strings.Contains(id.LastError, "AUTH_SECRET_PREVIOUS was removed too early") || id.Dead {
				t.Errorf("got %+v", id)
			}
		}

		use(after.Accepting(before))
		f.clock.Advance(time.Hour)
		for f.deliverNext(t) {
		}
		sent := f.transport.sent()
		if len(sent) != 2 {
			t.Fatalf("%d mails were sent", len(sent))
		}
		for _, env := range sent {
			part := map[string]string{KindPasswordLink: "/u/", KindPassword: "-"}[env.Kind]
			got := secretOf(t, env, part)
			for _, old := range first {
				if old.Kind == env.Kind && secretOf(t, old, part) != got {
					t.Errorf("the second %s mail differs from the first", env.Kind)
				}
			}
			if env.Kind == KindPassword && !f.passwordWorks(t, account, got) {
				t.Error("the password does not work")
			}
			if key, ok := f.Links.Find(confirmation, mustHash(t, link.New(before).Key(confirmation))); !ok || env.Kind == KindPasswordLink && !strings.Contains(got, key) {
				t.Error("the link has another key")
			}
		}
	})
}

func mustHash(t *testing.T, key string) []byte {
	t.Helper()
	hash, ok := link.Hash(key)
	if !ok {
		t.Fatalf("%q is no key", key)
	}
	return hash
}
