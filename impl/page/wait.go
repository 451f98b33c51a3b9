package page

import (
	"time"

	"github.com/financelime/authorization/impl/locale"
)

// formatWait writes how long to wait, in one unit. It rounds up: after that time the request is accepted.
func formatWait(d time.Duration, language *locale.Language) string {
	length, unit := time.Second, locale.Second
	switch {
	case d > 90*time.Minute:
		length, unit = time.Hour, locale.Hour
	case d > 90*time.Second:
		length, unit = time.Minute, locale.Minute
	}
	return language.Duration(max(1, int((d+length-1)/length)), unit)
}
