// Package docs is the API reference as a page: Swagger UI over the service's own openapi.json. Everything that the
// page loads comes from the service.
package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed" // the page and its script
	"encoding/base64"
	"fmt"
	"io/fs"

	"github.com/swaggest/swgui/v5/static"
)

//go:embed page.html
var page []byte

//go:embed docs.js
var script []byte

//go:embed docs.css
var style []byte

// Page is the HTML of the page.
func Page() []byte { return page }

// CSP is the page's content security policy: scripts and styles from this service alone, requests to this service alone.
// Swagger UI has its icons in data URLs; its styles it sets by script, which needs no leave ('unsafe-inline').
func CSP() string {
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// Asset is a part of the page.
type Asset struct {
	ContentType string
	ETag        string
	Body        []byte
}

// Assets are the parts of the page by their names, read and unpacked.
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
			return nil, fmt.Errorf("read a part of the docs page: %w", err)
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
	return Asset{ContentType: contentType, ETag: ETag(body), Body: body}
}

// ETag is the strong entity tag of a body (RFC 9110 section 8.8.3).
func ETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
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
