package limit

import (
	"strings"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{
		"10/1m":        {10, time.Minute},
		"10/1d":        {10, 24 * time.Hour},
		"6/30d":        {6, 30 * 24 * time.Hour},
		"1/1s":         {1, time.Second},
		"1000000/720h": {1_000_000, 720 * time.Hour},
		"3/1h30m":      {3, 90 * time.Minute},
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "10", "/1m", "10/", "0/1m", "-1/1m", "1000001/1m", "10/0s", "10/999ms", "10/721h", "10/m", "10/60", "10 / 1m", "1e3/1m", "10/1m/1m", "10/-1m",
		"10/d", "10/0d", "10/31d", "10/-1d", "10/1.5d", "10/300d", "10/1dd", "10/1d12h", "10/1w",
	} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is parsed as %v", text, got)
		}
	}
}

// A burst is not longer than the period, and a rate is parsed as it was printed.
func FuzzParseRate(f *testing.F) {
	for _, seed := range []string{"10/1m", "1/1s", "1000000/720h", "7/1h0m0s", "7/2d", "x", "10/1m\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rate, err := ParseRate(text)
		if err != nil {
			if len(err.Error()) > 200+4*len(text) || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%q is refused with %q", text, err)
			}
			return
		}
		if again, err := ParseRate(rate.String()); err != nil || again != rate {
			t.Errorf("%v is parsed as %v, %v", rate, again, err)
		}
		if rate.refill() < 1 || rate.burst() < 0 || rate.burst() > rate.Per.Microseconds() {
			t.Errorf("%v refills in %d µs and has a burst of %d µs", rate, rate.refill(), rate.burst())
		}
	})
}
