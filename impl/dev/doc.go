// Package dev makes the examples of openapi.yaml work, in a service to develop against (serve --dev).
//
// The rest of the service does not know this package: cmd/financelime-auth puts its Handler before the public handler, and only with
// --dev. The database contains only what the service itself could have written: a user, a session, an invite. An example token or link key
// is never valid by itself. The Handler replaces it, in the request, by a real one that the service has just issued.
//
// An example works whenever it is presented. Before the request is handled, the Handler restores what the example needs: a session that
// was ended, a password that was changed, an address that was signed up already. So a contract tool can run its positive cases repeatedly
// and in any order.
//
// A database belongs to --dev for good, or never: Claim marks an empty one and refuses any other, and a service without --dev refuses a
// marked one.
package dev
