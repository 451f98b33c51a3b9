package page

import (
	"fmt"
	"time"
)

// units are the units of time in the forms that go with numbers: one and other in English, in Russian one, few and many (1 минуту,
// 2 минуты, 5 минут), in the accusative.
//
//nolint:gochecknoglobals // nobody writes to it
var units = map[string]map[time.Duration][]string{
	"en": {
		time.Second: {"second", "seconds"},
		time.Minute: {"minute", "minutes"},
		time.Hour:   {"hour", "hours"},
	},
	"ru": {
		time.Second: {"секунду", "секунды", "секунд"},
		time.Minute: {"минуту", "минуты", "минут"},
		time.Hour:   {"час", "часа", "часов"},
	},
}

// wordedWait says how long to wait, in the one unit that tells it best, and rather too long than too short.
func wordedWait(d time.Duration, lang string) string {
	unit := time.Second
	switch {
	case d > 90*time.Minute:
		unit = time.Hour
	case d > 90*time.Second:
		unit = time.Minute
	}
	n := max(1, int((d+unit-1)/unit))
	forms := units[lang][unit]
	return fmt.Sprintf("%d %s", n, forms[pluralForm(n, len(forms))])
}

// pluralForm chooses among the forms that a language has (CLDR): two as in English, three as in Russian.
func pluralForm(n, forms int) int {
	switch {
	case forms == 2 && n == 1, forms == 3 && n%10 == 1 && n%100 != 11:
		return 0
	case forms == 2, n%10 >= 2 && n%10 <= 4 && (n%100 < 12 || n%100 > 14):
		return 1
	}
	return 2
}
