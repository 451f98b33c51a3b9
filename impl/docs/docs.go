// Package docs serves the API reference: Swagger UI with the service's own openapi.json. The page loads nothing from other
// hosts.
package docs

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the page and its script
	"fmt"
	"io/fs"

	"github.com/swaggest/swgui/v5/static"

	"github.com/financelime/authorization/impl/digest"
)

//go:embed page.html
var page []byte

//go:embed docs.js
var script []byte

//go:embed docs.css
var style []byte

// Page returns the HTML of the page.
func Page() []byte { return page }

// CSP returns the content security policy of the page: scripts, styles and requests only from and to this service. Swagger UI has
// its icons in data URLs. It sets styles by script, which works without 'unsafe-inline'.
func CSP() string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// Asset is a file that the page loads.
type Asset struct {
	ContentType string
	ETag        string
	Body        []byte
}

// Assets returns the files that the page loads, by name and uncompressed.
func Assets() (map[string]Asset, error) {
	assets := map[string]Asset{
		"docs.js":  newAsset("text/javascript; charset=utf-8", script),
		"docs.css": newAsset("text/css; charset=utf-8", style),
	}
	for name, contentType := range map[string]string{
		"swagger-ui.css":       "text/css; charset=utf-8",
		"swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	} {
		packed, err := fs.ReadFile(static.FS, name+".gz")
		if err != nil {
			return nil, fmt.Errorf("read %s of the docs page: %w", name, err)
		}
		body, err := unpack(packed)
		if err != nil {
			return nil, fmt.Errorf("unpack %s of the docs page: %w", name, err)
		}
		assets[name] = newAsset(contentType, body)
	}
	return assets, nil
}

func newAsset(contentType string, body []byte) Asset {
	return Asset{ContentType: contentType, ETag: digest.ETag(body), Body: body}
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(r); err != nil {
		return nil, err
	}
	return body.Bytes(), r.Close()
}
