//go:build wrong

package main

import openapi "walk/generated"

// A 409 has no code INVITE_NOT_FOUND: this does not compile.
func wrong(failure openapi.SignUpFailure409) string {
	switch failure.Message {
	case openapi.SIGNUPFAILURE409MESSAGE_USER_ALREADY_EXIST, openapi.SIGNUPFAILURE409MESSAGE_INVITE_HAS_ENDED:
		return "documented"
	case openapi.SIGNUPFAILURE404MESSAGE_INVITE_NOT_FOUND:
		return "of another status"
	}
	return ""
}
