// Package account serves the page /account, on which users sign up, log in and manage their accounts.
//
// The page is an ordinary client of the public API, without a framework, a cookie or a build step: account.html.tmpl has all its elements,
// account.js connects them to the modules beside it, and words-LANGUAGE.js has its texts. session.js keeps the tokens as docs/clients.md
// prescribes. All URLs of the page are relative, so it also works below a path of the public URL.
package account

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"time"

	"github.com/tdewolff/minify/v2"
	"github.com/tdewolff/minify/v2/css"
	"github.com/tdewolff/minify/v2/js"

	pages "github.com/financelime/authorization/impl/page"
)

//go:embed *.js *.css
var files embed.FS

//go:embed account.html.tmpl
var source string

var pageTemplate = template.Must(template.New("account").Parse(source))

// Config is what the page depends on. It contains nothing secret.
type Config struct {
	Service        string        // name of the service; may be empty
	AppURL         string        // where the user continues; may be empty
	MinLength      int           // minimum length of a chosen password
	InviteRequired bool          // a sign-up needs an invite code
	DeletionGrace  time.Duration // how long a deletion can be undone
	Passkeys       bool          // the service has passkeys
}

// GraceSeconds returns the grace of a deletion in seconds.
func (c Config) GraceSeconds() int64 { return int64(c.DeletionGrace / time.Second) }

// Page renders the HTML of the page.
func Page(c Config) ([]byte, error) {
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, c); err != nil {
		return nil, fmt.Errorf("render the account page: %w", err)
	}
	return page.Bytes(), nil
}

// CSP returns the content security policy of the page: scripts, styles and requests only from and to this service, no forms without a
// script, and no text that becomes code. The QR code is an image that a script makes.
func CSP() string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// PermissionsPolicy returns the permissions policy of the page.
func PermissionsPolicy() string {
	return "publickey-credentials-get=(self), publickey-credentials-create=(self)"
}

// Asset is a file that the page loads.
type Asset struct {
	ContentType string
	Body        []byte
}

// Assets returns the files that the page loads, by name, without comments and blanks.
func Assets() (map[string]Asset, error) {
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("list the files of the account page: %w", err)
	}
	small := minify.New()
	small.AddFunc("text/javascript", js.Minify)
	small.AddFunc("text/css", css.Minify)
	assets := make(map[string]Asset, len(entries))
	for _, entry := range entries {
		body, err := fs.ReadFile(files, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read %s of the account page: %w", entry.Name(), err)
		}
		if entry.Name() == "account.css" {
			body = append([]byte(pages.Colors()), body...)
		}
		contentType := types[path.Ext(entry.Name())]
		if body, err = small.Bytes(contentType, body); err != nil {
			return nil, fmt.Errorf("minify %s of the account page: %w", entry.Name(), err)
		}
		assets[entry.Name()] = Asset{ContentType: contentType, Body: body}
	}
	return assets, nil
}
