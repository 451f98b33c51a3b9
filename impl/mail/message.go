package mail

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"time"
)

// The kinds of mail, as the database knows them.
const (
	KindSignUpLink   = "signup_link"
	KindPasswordLink = "password_link"
	KindPassword     = "password"

	KindSignUpNotice   = "signup_notice"   // somebody signed up with an address that was taken
	KindLoginNotice    = "login_notice"    // somebody logged in
	KindPasswordNotice = "password_notice" // with a mailed password, which replaced an older one
)

// Kinds are all kinds of mail.
func Kinds() []string {
	return []string{KindSignUpLink, KindPasswordLink, KindPassword, KindSignUpNotice, KindLoginNotice, KindPasswordNotice}
}

// fallbackLanguage is what people read whose language we do not have.
const fallbackLanguage = "en"

// Values is what a message tells. Of Link, Password and Login, a kind has one or none.
type Values struct {
	Service  string        // the service's name, as in AUTH_MAIL_FROM
	Link     string        // of the confirmation
	Password string        // the one that is mailed
	Life     time.Duration // how long the link or the password can be used
	Login    Login         // that the message tells of
}

// Login is what a person can recognize a log-in by.
type Login struct {
	At       time.Time
	Platform string // as the client says, in words that are safe to show; "" if it does not
	Addr     string // where it came from
}

// Message is what a person reads.
type Message struct {
	Subject string
	Text    string // with "\n" as its line end
	HTML    string
}

// messageFiles holds a text for each kind and language: "Subject:" and perhaps "Button:", an empty line, and
// paragraphs with empty lines between them, of which the link or the password is one of its own. The HTML part is made
// of the same paragraphs, so both parts always say the same.
//
//go:embed messages
var messageFiles embed.FS

var (
	messageTexts  = template.Must(template.New("").Option("missingkey=error").ParseFS(messageFiles, "messages/*.txt"))
	messageLayout = htmltemplate.Must(htmltemplate.ParseFS(messageFiles, "messages/layout.html.tmpl"))
)

// Render writes a message of a kind in a language, "en" or "ru".
func Render(kind, language string, v Values) (Message, error) {
	source := messageTexts.Lookup(kind + "." + language + ".txt")
	if source == nil {
		language = fallbackLanguage
		source = messageTexts.Lookup(kind + "." + language + ".txt")
	}
	if source == nil {
		return Message{}, fmt.Errorf("no message of kind %q", kind)
	}
	var out strings.Builder
	err := source.Execute(&out, struct{ Service, Link, Password, Life, Platform, Addr, Time string }{
		v.Service, v.Link, v.Password, wordedSpan(v.Life, language),
		v.Login.Platform, v.Login.Addr, v.Login.At.UTC().Format("2006-01-02 15:04 UTC"),
	})
	if err != nil {
		return Message{}, fmt.Errorf("write the %s message: %w", kind, err)
	}
	head, text, _ := strings.Cut(out.String(), "\n\n")
	m := Message{Subject: field(head, "Subject"), Text: text}
	if m.HTML, err = layOut(m, field(head, "Button"), language, v); err != nil {
		return Message{}, fmt.Errorf("write the %s message: %w", kind, err)
	}
	return m, nil
}

// field reads one line of a message's head.
func field(head, name string) string {
	for line := range strings.Lines(head) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func layOut(m Message, button, language string, v Values) (string, error) {
	paragraphs := strings.Split(strings.TrimSpace(m.Text), "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = strings.ReplaceAll(p, "\n", " ")
	}
	var out bytes.Buffer
	err := messageLayout.ExecuteTemplate(&out, "layout.html.tmpl", struct {
		Language, Service, Subject, Button, Link, Password string
		Paragraphs                                         []string
	}{language, v.Service, m.Subject, button, v.Link, v.Password, paragraphs})
	return out.String(), err
}
