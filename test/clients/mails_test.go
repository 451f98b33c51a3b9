//go:build clients

package clients

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/financelime/authorization/api/client"
	"github.com/financelime/authorization/test/harness"
)

// TestMailsInMailparser checks that an independent parser reads the sender, subject and content of each mail.
func TestMailsInMailparser(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Acme, Inc.", "Acme,  Inc.", `The "Best" \ Bank`, "Финансы, Лайм", "日本語の名前、株式会社", "🏦 Bank 👩‍👩‍👧‍👦", "=?utf-8?q?x?=", "a@b.c, d@e.f",
		strings.Repeat("long name ", 15) + "end", strings.Repeat("Длинное имя ", 8) + "конец", strings.Repeat("x", 200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
			s := harness.Start(t, binary, contract, harness.SQLite,
				"AUTH_INVITE_CODE_REQUIRED=false", "AUTH_MAIL_FROM="+quoted+" <no-reply@acme.example>")
			for _, language := range []string{"en", "ru"} {
				sendMails(t, s, "jane-"+language+"@example.com", language)
			}
			out, err := command(t, ".", "node", "read-mails.mjs", filepath.Join(s.Dir, "data", "mail"))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var mails []struct {
				Name, From, To, Subject, Text, ID string
				Senders                           int
			}
			if err := json.Unmarshal([]byte(out), &mails); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := make(map[string]harness.Mail)
			for _, m := range s.Mails(t) {
				want[strings.Trim(m.To, "<>")+" "+m.Subject] = m
			}
			if len(mails) < 6 || len(want) != len(mails) {
				t.Errorf("%d mails, %d in the mailbox", len(mails), len(want))
			}
			for _, m := range mails {
				expected, ok := want[m.To+" "+m.Subject]
				if m.Name != name || m.From != "no-reply@acme.example" || m.Senders != 1 || !ok {
					t.Errorf("%q became %+v", name, m)
				}
				if harness.FindLink(m.Text) != harness.FindLink(expected.Text) || harness.FindPassword(m.Text) != harness.FindPassword(expected.Text) {
					t.Errorf("%q has another link or password", m.Subject)
				}
			}
		})
	}
}

// sendMails signs a user up, confirms the address and requests a reset, so that three kinds of mail are sent.
func sendMails(t *testing.T, s *harness.Service, email, language string) {
	t.Helper()
	r, err := s.API.SignupWithResponse(t.Context(), &client.SignupParams{RequestID: uuid.NewString() + "."},
		client.SignUpRequest{Email: email, Language: language})
	if err != nil || r.StatusCode() != http.StatusNoContent {
		t.Fatalf("sign-up: %v", err)
	}
	link := harness.FindLink(s.WaitMails(t, email, 1)[0].Text)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/u/"+after(link, "/u/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.HTTP.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || strings.HasSuffix(link, ".") {
		t.Fatalf("open the link %s: %d", link, response.StatusCode)
	}
	s.WaitMails(t, email, 2)
	reset, err := s.API.UserPasswordResetWithResponse(t.Context(), &client.UserPasswordResetParams{RequestID: uuid.NewString()},
		client.RequestUserPasswordResetRequest{Email: email})
	if err != nil || reset.StatusCode() >= http.StatusBadRequest {
		t.Fatalf("reset: %v", err)
	}
	s.WaitMails(t, email, 3)
}

func after(text, separator string) string {
	_, rest, _ := strings.Cut(text, separator)
	return rest
}
