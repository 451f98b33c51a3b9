//go:build wrong

package main

import "walk/generated"

// A 409 has no code INVITE_NOT_FOUND: this does not compile.
func wrong(failure generated.SignUpFailure409) string {
	switch failure.Message {
	case generated.SignUpFailure409MessageUSERALREADYEXIST, generated.SignUpFailure409MessageINVITEHASENDED:
		return "documented"
	case generated.SignUpFailure404MessageINVITENOTFOUND:
		return "of another status"
	}
	return ""
}
