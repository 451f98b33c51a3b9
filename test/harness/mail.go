package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Mail is a mail in the local mailbox.
type Mail struct {
	ID, To, From, Subject, Text, HTML string
}

// Mails returns all mails so far, the newest first.
func (s *Service) Mails(t testing.TB) []Mail {
	t.Helper()
	mails, err := s.ReadMails(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return mails
}

// ReadMails returns all mails so far, the newest first. It may be called from any goroutine.
func (s *Service) ReadMails(ctx context.Context) ([]Mail, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Admin+"/mail.json", nil)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	defer response.Body.Close()
	var mails []Mail
	if err := json.NewDecoder(response.Body).Decode(&mails); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	return mails, nil
}

// WaitMails waits until there are n mails with a link or a password to an address and returns them, the newest first.
func (s *Service) WaitMails(t testing.TB, to string, n int) []Mail {
	t.Helper()
	return s.waitMails(t, to, n, func(m Mail) bool { return FindLink(m.Text)+FindPassword(m.Text) != "" })
}

// WaitNotices waits until there are n notices to an address and returns them, the newest first.
func (s *Service) WaitNotices(t testing.TB, to string, n int) []Mail {
	t.Helper()
	return s.waitMails(t, to, n, func(m Mail) bool { return FindLink(m.Text)+FindPassword(m.Text) == "" })
}

func (s *Service) waitMails(t testing.TB, to string, n int, wanted func(Mail) bool) []Mail {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		var found []Mail
		for _, m := range s.Mails(t) {
			if strings.Contains(m.To, to) && wanted(m) {
				found = append(found, m)
			}
		}
		if len(found) >= n {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d mails to %s after a minute, not %d", len(found), to, n)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

var (
	linkLine     = regexp.MustCompile(`(?m)^https?://\S+/[ul]/\S+$`)
	passwordLine = regexp.MustCompile(`(?m)^[0-9a-z]{4}(?:-[0-9a-z]{4}){6}$`)
)

// FindLink returns the link that is alone on a line of a mail's text, or "".
func FindLink(text string) string { return linkLine.FindString(text) }

// FindPassword returns the password that is alone on a line of a mail's text, or "".
func FindPassword(text string) string { return passwordLine.FindString(text) }

// Link returns the mail's link.
func (m Mail) Link(t testing.TB) *url.URL {
	t.Helper()
	link, err := url.Parse(FindLink(m.Text))
	if err != nil || link.Path == "" {
		t.Fatalf("no link in the mail %q:\n%s", m.Subject, m.Text)
	}
	return link
}

// Password returns the mail's password.
func (m Mail) Password(t testing.TB) string {
	t.Helper()
	password := FindPassword(m.Text)
	if password == "" {
		t.Fatalf("no password in the mail %q:\n%s", m.Subject, m.Text)
	}
	return password
}
