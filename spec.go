// Package authorization holds the contract of the service: openapi.yaml, which everything else is generated from,
// validated against or tested by.
package authorization

import _ "embed"

//go:embed openapi.yaml
var spec string

// Spec returns openapi.yaml, byte by byte.
func Spec() []byte { return []byte(spec) }
