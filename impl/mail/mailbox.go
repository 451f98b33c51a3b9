package mail

import (
	"bytes"
	"context"
	_ "embed" // the template and its style
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jordan-wright/email"

	"github.com/financelime/authorization/impl/digest"
	"github.com/financelime/authorization/impl/locale"
)

// mailbox shows the mails that the Files transport wrote.
type mailbox struct {
	dir  string
	wait time.Duration // how long "latest" waits for a mail to arrive
}

// NewMailbox returns the mailbox handler, with these routes, for the admin port:
//
//	GET /mail                   the list, newest first
//	GET /mail.json              the same with the texts, for test scripts
//	GET /mail/{id}              one mail
//	GET /mail/{id}/text         its text part
//	GET /mail/{id}/html         its HTML part
//	GET /mail/latest/text       the text part of the newest mail that matches: see latest
//
// The lists have the newest 1000 mails. Everything in a mailbox is secret: serve it on this machine only.
func NewMailbox(dir string) http.Handler {
	return newMailbox(&mailbox{dir: dir, wait: 10 * time.Second})
}

func newMailbox(b *mailbox) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /mail", b.list)
	mux.HandleFunc("GET /mail.json", b.listJSON)
	mux.HandleFunc("GET /mail/latest/text", b.latest)
	mux.HandleFunc("GET /mail/{id}", b.show)
	mux.HandleFunc("GET /mail/{id}/text", b.text)
	mux.HandleFunc("GET /mail/{id}/html", b.html)
	policy := mailboxPolicy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer") // a click must not disclose the mailbox's address
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", policy)
		mux.ServeHTTP(w, r)
	})
}

// StoredMail is a mail in the mailbox.
type StoredMail struct {
	ID   string `json:"id"`
	Date string `json:"date"` // RFC 3339
	To   string `json:"to"`
	From string `json:"from"`
	// Language is the tag of the mail's language, or empty if the mail does not state one.
	Language string `json:"language"`
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	HTML     string `json:"html"`
}

// LanguageName returns the name of the mail's language, in that language.
func (s StoredMail) LanguageName() string { return locale.Default().Lookup(s.Language).Name }

// When formats Date in UTC. It returns a Date that is not RFC 3339 unchanged.
func (s StoredMail) When() string {
	t, err := time.Parse(time.RFC3339, s.Date)
	if err != nil {
		return s.Date
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func (b *mailbox) list(w http.ResponseWriter, _ *http.Request) {
	mails, err := b.readAll()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writePage(w, http.StatusOK, mailboxPage{Title: "Mailbox", Mails: mails})
}

func (b *mailbox) listJSON(w http.ResponseWriter, _ *http.Request) {
	mails, err := b.readAll()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(mails) // fails only when the client has gone
}

func (b *mailbox) show(w http.ResponseWriter, r *http.Request) {
	if mail, ok := b.find(w, r, notFoundPage); ok {
		writePage(w, http.StatusOK, mailboxPage{Title: mail.Subject, Mail: &mail, Text: splitLinks(mail.Text)})
	}
}

// notFoundPage responds to a person who follows an old address of a mail.
func notFoundPage(w http.ResponseWriter, _ *http.Request) {
	writePage(w, http.StatusNotFound, mailboxPage{Title: "No such mail", Missing: true})
}

func (b *mailbox) text(w http.ResponseWriter, r *http.Request) {
	if mail, ok := b.find(w, r, http.NotFound); ok {
		writeText(w, mail)
	}
}

// html serves the HTML part in a sandbox: it can neither run nor fetch anything.
func (b *mailbox) html(w http.ResponseWriter, r *http.Request) {
	mail, ok := b.find(w, r, http.NotFound)
	if !ok {
		return
	}
	w.Header().Set("Content-Security-Policy", "sandbox allow-popups allow-popups-to-escape-sandbox; "+
		"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// A click must open a new window: the pages behind the links must not be framed.
	_, _ = io.WriteString(w, strings.Replace(mail.HTML, "<head>", `<head><base target="_blank">`, 1))
}

// latest serves the text of the newest mail that matches the query. If there is none yet, it waits for one, so that scripts do not
// have to poll. The parameters of the query are:
//
//	subject=WORDS  a part of the subject, case-insensitive
//	to=ADDRESS     the recipient
//	after=WORDS    only mails newer than the newest one with WORDS in its subject (and to that recipient)
func (b *mailbox) latest(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	filter := filter{subject: query.Get("subject"), to: query.Get("to"), after: query.Get("after")}
	ctx, cancel := context.WithTimeout(r.Context(), b.wait)
	defer cancel()
	known := map[string]StoredMail{}
	for {
		mail, ok, err := b.newest(filter, known)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		case ok:
			writeText(w, mail)
			return
		}
		select {
		case <-ctx.Done():
			http.Error(w, "no such mail", http.StatusNotFound)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

type filter struct{ subject, to, after string }

// newest returns the newest mail that matches the filter. It caches the mails that it reads in known.
func (b *mailbox) newest(f filter, known map[string]StoredMail) (mail StoredMail, ok bool, err error) {
	ids, err := b.ids()
	if err != nil {
		return StoredMail{}, false, err
	}
	for _, id := range ids {
		m, read := known[id]
		if !read {
			m, err = b.read(id)
			if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
				continue
			}
			if err != nil {
				return StoredMail{}, false, err
			}
			known[id] = m
		}
		if f.to != "" && !strings.EqualFold(m.To, f.to) {
			continue
		}
		if f.after != "" && containsFold(m.Subject, f.after) {
			return mail, ok, nil // older mails do not match
		}
		if !ok && containsFold(m.Subject, f.subject) {
			mail, ok = m, true
		}
		if ok && f.after == "" {
			return mail, true, nil
		}
	}
	return StoredMail{}, false, nil // with f.after: no mail has those words in its subject yet
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// find reads the mail with the ID in the path, or responds by notFound.
func (b *mailbox) find(w http.ResponseWriter, r *http.Request, notFound http.HandlerFunc) (StoredMail, bool) {
	id := r.PathValue("id")
	if !idPattern.MatchString(id) {
		notFound(w, r)
		return StoredMail{}, false
	}
	mail, err := b.read(id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		notFound(w, r)
		return StoredMail{}, false
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return StoredMail{}, false
	}
	return mail, true
}

// idPattern matches the names that fileName returns. No other file is ever opened.
var idPattern = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// ids returns the IDs of the mails, newest first. A directory that does not exist yet is empty.
func (b *mailbox) ids() ([]string, error) {
	const most = 1000
	entries, err := os.ReadDir(b.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the mail directory: %w", err)
	}
	var ids []string
	for _, entry := range slices.Backward(entries) {
		id, isMail := strings.CutSuffix(entry.Name(), fileExtension)
		if isMail && idPattern.MatchString(id) && len(ids) < most {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (b *mailbox) readAll() ([]StoredMail, error) {
	ids, err := b.ids()
	if err != nil {
		return nil, err
	}
	mails := make([]StoredMail, 0, len(ids)) // not null in JSON
	for _, id := range ids {
		mail, err := b.read(id)
		if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		mails = append(mails, mail)
	}
	return mails, nil
}

func (b *mailbox) read(id string) (StoredMail, error) {
	data, err := os.ReadFile(filepath.Join(b.dir, id+fileExtension)) //nolint:gosec // the id fits idPattern
	if err != nil {
		return StoredMail{}, fmt.Errorf("read the mail: %w", err)
	}
	parsed, err := email.NewEmailFromReader(bytes.NewReader(data))
	if err != nil {
		return StoredMail{}, fmt.Errorf("parse the mail %s: %w", id, err)
	}
	date := parsed.Headers.Get("Date")
	if t, err := time.Parse(time.RFC1123Z, date); err == nil {
		date = t.Format(time.RFC3339)
	}
	return StoredMail{
		ID: id, Date: date, From: parsed.From, To: strings.Trim(strings.Join(parsed.To, ", "), "<>"),
		Language: parsed.Headers.Get("Content-Language"), Subject: parsed.Subject, Text: lines(parsed.Text), HTML: lines(parsed.HTML),
	}, nil
}

// lines returns a part with "\n" as its line end.
func lines(part []byte) string { return strings.ReplaceAll(string(part), "\r\n", "\n") }

func writeText(w http.ResponseWriter, mail StoredMail) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, mail.Text)
}

// segment is a piece of a text: a link, or what is between two links.
type segment struct {
	Text string
	Link bool
}

var linkPattern = regexp.MustCompile(`https?://[^\s<>"]+`)

func splitLinks(text string) []segment {
	var segments []segment
	end := 0
	for _, at := range linkPattern.FindAllStringIndex(text, -1) {
		segments = append(segments, segment{Text: text[end:at[0]]}, segment{Text: text[at[0]:at[1]], Link: true})
		end = at[1]
	}
	return append(segments, segment{Text: text[end:]})
}

//go:embed mailbox.css
var mailboxStyle string

//go:embed mailbox.html.tmpl
var mailboxSource string

var mailboxTemplate = template.Must(template.New("mailbox").Parse(mailboxSource))

// mailboxPolicy returns the content security policy of the pages: their own style and the frame with a mail, nothing else.
func mailboxPolicy() string {
	return "default-src 'none'; style-src " + digest.CSPSource(mailboxStyle) +
		"; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// mailboxPage is the list of Mails, or one Mail, or says that a mail is Missing.
type mailboxPage struct {
	Title   string
	Style   template.CSS
	Mails   []StoredMail
	Mail    *StoredMail
	Text    []segment
	Missing bool
}

func writePage(w http.ResponseWriter, status int, page mailboxPage) {
	page.Style = template.CSS(mailboxStyle) //nolint:gosec // our own embedded file
	var body bytes.Buffer
	if err := mailboxTemplate.Execute(&body, page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // fails only when the client has gone
}
