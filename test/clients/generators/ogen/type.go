//go:build type

package main

import "walk/generated"

// A sign-up has no failure 401: this does not compile.
func wrongStatus(result generated.SignupRes) bool {
	switch result.(type) {
	case *generated.UnauthorizedHeaders:
		return true
	}
	return false
}
