package mail

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/html"
)

// post is a mail to put into a mailbox.
type post struct {
	kind, language, to string
	at                 time.Duration
}

// put writes a mail as the worker does, and gives its id in the mailbox.
func put(t *testing.T, dir string, p post) string {
	t.Helper()
	env := envelope(t, p)
	if err := (&Files{Dir: dir}).Send(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	return fileName(env)
}

func envelope(t *testing.T, p post) Envelope {
	t.Helper()
	at := sampleDate.Add(p.at)
	env := Envelope{ID: uuid.Must(uuid.NewV7()), CreatedAt: at, To: p.to}
	var err error
	if env.Data, err = compose(mustSender(t, sampleFrom), p.to, env.ID, at, mustRender(t, p.kind, p.language)); err != nil {
		t.Fatal(err)
	}
	return env
}

// newServer serves a mailbox in which "latest" waits for so long.
func newServer(t *testing.T, dir string, wait time.Duration) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(newMailbox(&mailbox{dir: dir, wait: wait}))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, server *httptest.Server, path string) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(data)
}

func TestMailboxEmpty(t *testing.T) {
	t.Parallel()
	server := newServer(t, filepath.Join(t.TempDir(), "not", "made", "yet"), time.Millisecond)
	if status, _, body := get(t, server, "/mail"); status != 200 || !strings.Contains(body, "The mailbox is empty.") {
		t.Errorf("list: %d %s", status, body)
	}
	if status, header, body := get(t, server, "/mail.json"); status != 200 || body != "[]\n" || header.Get("Content-Type") != "application/json" {
		t.Errorf("JSON: %d %s", status, body)
	}
	if status, _, _ := get(t, server, "/mail/latest/text"); status != 404 {
		t.Errorf("latest: %d", status)
	}
}

func TestMailboxJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := put(t, dir, post{KindSignUpLink, "ru", "jane@example.org", 0})
	second := put(t, dir, post{KindPassword, "en", "joe@example.org", time.Microsecond})
	for _, name := range []string{".x.tmp", "notes.txt", "other.eml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := newServer(t, dir, time.Millisecond)
	_, _, body := get(t, server, "/mail.json")
	var mails []StoredMail
	if err := json.Unmarshal([]byte(body), &mails); err != nil {
		t.Fatal(err)
	}
	if len(mails) != 2 || mails[0].ID != second || mails[1].ID != first {
		t.Fatalf("not the two mails, newest first: %s", body)
	}
	russian := mustRender(t, KindSignUpLink, "ru")
	want := StoredMail{
		ID: first, Date: "2026-05-17T08:09:10Z", To: "jane@example.org", From: `"Financelime" <no-reply@financelime.com>`,
		Language: "ru", Subject: "Подтвердите адрес электронной почты для Financelime", Text: russian.Text, HTML: russian.HTML,
	}
	if mails[1] != want {
		t.Errorf("got %+v\nwant %+v", mails[1], want)
	}
}

func TestMailboxPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := put(t, dir, post{KindPasswordLink, "ru", "jane@example.org", 0})
	server := newServer(t, dir, time.Millisecond)

	pages := map[string]string{}
	for _, path := range []string{"/mail", "/mail/" + id} {
		status, header, body := get(t, server, path)
		if status != 200 || header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%s: %d %s", path, status, header.Get("Content-Type"))
		}
		style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(body)
		sum := sha256.Sum256([]byte(style[1]))
		if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, base64.StdEncoding.EncodeToString(sum[:])) ||
			!strings.HasPrefix(policy, "default-src 'none'; ") {
			t.Errorf("%s: the policy %q does not fit the style", path, policy)
		}
		pages[path] = body
	}
	if !strings.Contains(pages["/mail"], `<a href="/mail/`+id+`" lang="ru">Сброс пароля для Financelime</a>`) || !strings.Contains(pages["/mail"], "jane@example.org") {
		t.Errorf("the list: %s", pages["/mail"])
	}

	root, err := html.Parse(strings.NewReader(pages["/mail/"+id]))
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]string{}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			attributes[n.Data+" "+a.Key] = a.Val
		}
	}
	for name, want := range map[string]string{
		"pre lang": "ru", "h1 lang": "ru", "title lang": "ru", "dd lang": "ru", "html lang": "en", "time datetime": "2026-05-17T08:09:10Z",
		"a href": sampleLink, "a rel": "noopener noreferrer",
		"iframe src": "/mail/" + id + "/html", "iframe sandbox": "allow-popups allow-popups-to-escape-sandbox",
	} {
		if attributes[name] != want {
			t.Errorf("%s is %q, want %q", name, attributes[name], want)
		}
	}

	status, header, body := get(t, server, "/mail/"+id+"/html")
	if want := mustRender(t, KindPasswordLink, "ru").HTML; status != 200 || strings.Replace(body, `<base target="_blank">`, "", 1) != want {
		t.Errorf("the HTML part: %d %s", status, body)
	}
	if policy := header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "sandbox allow-popups ") || strings.Contains(policy, "allow-scripts") {
		t.Errorf("the HTML part's policy: %s", policy)
	}
	status, header, body = get(t, server, "/mail/"+id+"/text")
	if status != 200 || header.Get("Content-Type") != "text/plain; charset=utf-8" || body != mustRender(t, KindPasswordLink, "ru").Text {
		t.Errorf("the text part: %d %s", status, body)
	}
}

func TestMailboxRefusesPaths(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	id := put(t, filepath.Join(root, "other"), post{KindPassword, "en", "jane@example.org", 0})
	if err := os.Mkdir(filepath.Join(root, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	server := newServer(t, filepath.Join(root, "mail"), time.Millisecond)
	for _, name := range []string{
		id, "../other/" + id, "..%2Fother%2F" + id, "%2e%2e%2fother%2f" + id, id + "%00", id + "%0a", "x", "..", "%2e%2e", strings.ToUpper(id),
	} {
		for _, part := range []string{"", "/text", "/html"} {
			if status, _, body := get(t, server, "/mail/"+name+part); status != 404 || strings.Contains(body, "password") {
				t.Errorf("%s%s: %d %s", name, part, status, body)
			} else if page := strings.Contains(body, `<a href="/mail">Mailbox</a>`); part == "" && id == name && !page {
				t.Errorf("%s: not a page that leads back to the mailbox: %s", name, body)
			}
		}
	}
	response, err := server.Client().Post(server.URL+"/mail", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", response.StatusCode)
	}
}

func TestMailboxLatest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, p := range []post{
		{kind: KindPassword, to: "jane@example.org"},
		{kind: KindPasswordLink, to: "jane@example.org"},
		{kind: KindSignUpLink, to: "joe@example.org"},
		{kind: KindPassword, to: "joe@example.org"},
	} {
		p.language, p.at = "en", time.Duration(i)*time.Second
		put(t, dir, p)
	}
	server := newServer(t, dir, time.Millisecond)
	for query, want := range map[string]string{
		"":                                   KindPassword,
		"subject=confirm":                    KindSignUpLink,
		"subject=YOUR+PASSWORD":              KindPassword,
		"subject=reset":                      KindPasswordLink,
		"to=jane@example.org":                KindPasswordLink,
		"to=Joe@example.org&subject=confirm": KindSignUpLink,
		"to=joe@example":                     "",
		"subject=nothing":                    "",
		"to=jane@example.org&subject=your+password":             KindPassword,
		"to=joe@example.org&subject=your+password&after=addr":   KindPassword,
		"to=jane@example.org&subject=your+password&after=reset": "", // hers is older
		"subject=your+password&after=nothing":                   "",
	} {
		status, header, body := get(t, server, "/mail/latest/text?"+query)
		switch {
		case want == "" && status != 404, want != "" && status != 200:
			t.Errorf("%s: %d", query, status)
		case want != "" && body != mustRender(t, want, "en").Text:
			t.Errorf("%s: %s", query, body)
		case want != "" && header.Get("Content-Type") != "text/plain; charset=utf-8":
			t.Errorf("%s: %s", query, header.Get("Content-Type"))
		}
	}
}

// A script need not know how long a mail takes.
func TestMailboxLatestWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, post{KindSignUpLink, "en", "jane@example.org", 0})
	server := newServer(t, dir, time.Minute)
	env := envelope(t, post{KindPassword, "en", "jane@example.org", time.Second})
	sent := make(chan error)
	go func() { sent <- (&Files{Dir: dir}).Send(context.WithoutCancel(t.Context()), env) }()
	status, _, body := get(t, server, "/mail/latest/text?"+url.Values{"subject": {"your password"}, "after": {"confirm"}}.Encode())
	if status != 200 || !regexp.MustCompile(`(?m)^[0-9a-z]{4}(-[0-9a-z]{4}){6}$`).MatchString(body) {
		t.Errorf("%d %s", status, body)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
