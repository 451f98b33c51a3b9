// Package authorization embeds openapi.yaml, the source of truth for the HTTP API of the service.
//
// The server's types and the Go client are generated from it. The service validates requests against it, and every test validates
// responses against it.
package authorization

import _ "embed"

//go:embed openapi.yaml
var spec string

// Spec returns a copy of openapi.yaml.
func Spec() []byte { return []byte(spec) }
