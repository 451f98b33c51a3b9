package mail

import (
	"time"

	"github.com/financelime/authorization/impl/locale"
)

// formatDuration writes how long something is valid, in one unit. Up to half a minute is rounded up, because some time passes
// between two readings of the clock (23:59:58 is "24 hours"). Beyond that it rounds down: a duration is never promised too long.
func formatDuration(d time.Duration, language *locale.Language) string {
	minutes := d.Round(time.Minute)
	switch {
	case d < 50*time.Second:
		return language.Duration(max(1, int(d.Round(time.Second)/time.Second)), locale.Second)
	case minutes < 2*time.Hour && minutes%time.Hour != 0:
		return language.Duration(int(minutes/time.Minute), locale.Minute)
	case minutes <= 48*time.Hour:
		return language.Duration(int(minutes/time.Hour), locale.Hour)
	}
	return language.Duration(int(minutes/(24*time.Hour)), locale.Day)
}
