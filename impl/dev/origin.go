package dev

import (
	"regexp"
	"strconv"
)

// loopbackOrigin matches the origins of pages that this machine serves by http, as browsers send them.
var loopbackOrigin = regexp.MustCompile(`^http://(?:localhost|127\.0\.0\.1|\[::1\])(?::([1-9][0-9]{0,4}))?$`)

// AllowsOrigin reports whether pages of an origin may call the service: http://localhost, http://127.0.0.1 and http://[::1], with or without a
// port. Pages with another origin need the setting AUTH_CORS_ORIGINS.
func AllowsOrigin(origin string) bool {
	match := loopbackOrigin.FindStringSubmatch(origin)
	if match == nil {
		return false
	}
	if match[1] == "" {
		return true
	}
	_, err := strconv.ParseUint(match[1], 10, 16)
	return err == nil
}
