package mail

import (
	_ "embed" // the layout
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/financelime/authorization/impl/locale"
)

// The kinds of mail, as the database stores them. The text of a kind is mail/KIND.txt in each language's folder of impl/locale.
const (
	KindSignUpLink   = "signup_link"
	KindPasswordLink = "password_link"
	KindPassword     = "password"

	KindSignUpNotice   = "signup_notice"   // someone signed up with an address that was taken
	KindLoginNotice    = "login_notice"    // someone logged in
	KindPasswordNotice = "password_notice" // a mailed password replaced an older one

	KindPasswordChanged = "password_changed" // the user changed the password

	KindFactorChanged      = "factor_changed"       // a second factor or a passkey was added, removed, turned on or off
	KindRecoveryCodeUsed   = "recovery_code_used"   // in place of the usual second factor
	KindSecondFactorFailed = "second_factor_failed" // wrong codes after a right password

	KindSignUpChooseLink   = "signup_choose_link"   // as signup_link, but its link opens a page; so do those of the next four
	KindPasswordChooseLink = "password_choose_link" // as password_link
	KindEmailLink          = "email_link"           // to the new address
	KindEmailUndo          = "email_undo"           // to the old address, after a change
	KindDeletionUndo       = "deletion_undo"        // the account will be deleted

	KindEmailAsked  = "email_asked"  // someone who is logged in wants to change the address
	KindEmailNotice = "email_notice" // sent in place of an email_link whose address is taken; no row has this kind
)

// Kinds returns all kinds of mail: those that have a text.
func Kinds() []string { return locale.Default().Names(textDirectory) }

// textDirectory is the directory of a language's folder that has the texts of mails.
const textDirectory = "mail"

// Values are the values in a message. Of Link, Password and Login, a kind has one or none.
type Values struct {
	Service  string        // the service's name, from AUTH_MAIL_FROM
	AppURL   string        // where a user logs in, from AUTH_APP_URL; may be empty. A mail with a password has it
	Link     string        // the confirmation's link
	Password string        // the mailed password
	Life     time.Duration // how long the link or the password is valid
	Login    Login         // the login that the message is about

	NoPassword bool // the account has no password, as after an undo of a change of its address
}

// Login is what a user can recognize a login by.
type Login struct {
	At        time.Time
	Platform  string // as the client reports it, sanitized; empty if it does not
	Addr      string // the client IP
	NewDevice bool   // the account had no login from this device before
}

// Message is a rendered mail.
type Message struct {
	Language string
	Subject  string
	Text     string // with "\n" as its line end
	HTML     string
}

// Render writes a message of a kind in a language such as "en". Both parts have the same paragraphs, of which the link or the
// password is one. A paragraph that is empty with these values is left out.
func Render(kind, language string, v Values) (Message, error) {
	return render(locale.Default().Lookup(language), kind, v)
}

func render(language *locale.Language, kind string, v Values) (Message, error) {
	text, ok := language.Text(textDirectory + "/" + kind)
	if !ok {
		return Message{}, fmt.Errorf("no message of kind %q", kind)
	}
	filled, err := text.Fill(struct {
		Service, AppURL, Link, Password, Life, Platform, Addr, Time string
		NewDevice, NoPassword                                       bool
	}{
		v.Service, v.AppURL, v.Link, v.Password, formatDuration(v.Life, language),
		v.Login.Platform, v.Login.Addr, v.Login.At.UTC().Format("2006-01-02 15:04 UTC"), v.Login.NewDevice, v.NoPassword,
	})
	if err != nil {
		return Message{}, fmt.Errorf("render the %s message: %w", kind, err)
	}
	filled.Paragraphs = slices.DeleteFunc(filled.Paragraphs, func(paragraph string) bool { return paragraph == "" })
	m := Message{Language: language.Tag, Subject: filled.Fields["Subject"]}
	var part strings.Builder
	err = layout.Execute(&part, struct {
		Language                                       *locale.Language
		Service, Subject, Button, AppURL, Link, Secret string
		Paragraphs                                     []string
	}{language, v.Service, m.Subject, filled.Fields["Button"], v.AppURL, v.Link, v.Password, filled.Paragraphs})
	if err != nil {
		return Message{}, fmt.Errorf("render the %s message: %w", kind, err)
	}
	m.HTML = part.String()
	for i, paragraph := range filled.Paragraphs {
		filled.Paragraphs[i] = wrap(paragraph)
	}
	m.Text = strings.Join(filled.Paragraphs, "\n\n") + "\n"
	return m, nil
}

//go:embed layout.html.tmpl
var layoutSource string

// layout is the HTML part of every message.
var layout = template.Must(template.New("layout").Parse(layoutSource))

// textWidth is how many characters a line of a text part has at most. A longer word, such as a link, has a line of its own.
const textWidth = 78

// wrap breaks a paragraph into lines, at blanks but not at non-breaking spaces.
func wrap(paragraph string) string {
	var out strings.Builder
	width := 0
	for i, word := range strings.Split(paragraph, " ") {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+length > textWidth:
			out.WriteByte('\n')
			width = 0
		default:
			out.WriteByte(' ')
			width++
		}
		out.WriteString(word)
		width += length
	}
	return out.String()
}
