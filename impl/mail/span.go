package mail

import (
	"strconv"
	"time"
)

// wordedSpan words a length of time for a person, in the accusative in Russian ("действует 24 часа"): in the one unit
// that tells it best. Only what is lost between two clocks is rounded up (23:59:58 is "24 hours"); beyond that a span
// is worded too short rather than too long.
func wordedSpan(d time.Duration, language string) string {
	minutes := d.Round(time.Minute)
	switch {
	case d < 50*time.Second:
		return worded(max(1, int(d.Round(time.Second)/time.Second)), language, unit{
			en: [2]string{"second", "seconds"}, ru: [3]string{"секунду", "секунды", "секунд"}})
	case minutes < 2*time.Hour && minutes%time.Hour != 0:
		return worded(int(minutes/time.Minute), language, unit{
			en: [2]string{"minute", "minutes"}, ru: [3]string{"минуту", "минуты", "минут"}})
	case minutes <= 48*time.Hour:
		return worded(int(minutes/time.Hour), language, unit{
			en: [2]string{"hour", "hours"}, ru: [3]string{"час", "часа", "часов"}})
	}
	return worded(int(minutes/(24*time.Hour)), language, unit{
		en: [2]string{"day", "days"}, ru: [3]string{"день", "дня", "дней"}})
}

// unit is a unit of time in the forms that go with numbers.
type unit struct {
	en [2]string // one, other
	ru [3]string // one, few, many: 1 час, 2 часа, 5 часов
}

// worded puts a number before a unit in the form that the number takes (CLDR plural rules of English and Russian).
func worded(n int, language string, u unit) string {
	form := u.en[1]
	switch {
	case language != "ru" && n == 1:
		form = u.en[0]
	case language != "ru":
	case n%10 == 1 && n%100 != 11:
		form = u.ru[0]
	case n%10 >= 2 && n%10 <= 4 && (n%100 < 12 || n%100 > 14):
		form = u.ru[1]
	default:
		form = u.ru[2]
	}
	return strconv.Itoa(n) + " " + form
}
