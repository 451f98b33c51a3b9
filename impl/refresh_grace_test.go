package impl

import (
	"testing"
	"time"
)

func TestInGrace(t *testing.T) {
	t.Parallel()
	rotated := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := rotated.Add
	const (
		tick  = time.Microsecond
		grace = 3 * time.Second
	)
	ended := outage{began: at(-time.Second), ended: at(time.Minute)}
	lasting := outage{began: at(-time.Second)}
	// The responses of rotations may be lost if they are later than a grace before the outage.
	outOfReach, withinReach := outage{began: at(grace), ended: at(time.Minute)}, outage{began: at(grace - tick), ended: at(time.Minute)}
	for name, test := range map[string]struct {
		now     time.Time
		grace   time.Duration
		outages []outage
		want    bool
	}{
		"rotation: immediately":                          {at(0), grace, nil, true},
		"rotation: at the end of the grace":              {at(grace), grace, nil, true},
		"rotation: after the grace":                      {at(grace + tick), grace, nil, false},
		"rotation: on a replica that is behind":          {at(-10 * time.Minute), grace, nil, true},
		"rotation: immediately, without a grace":         {at(0), 0, nil, false},
		"outage: before it has ended":                    {at(time.Hour), grace, []outage{lasting}, true},
		"outage: just after it":                          {at(time.Minute), grace, []outage{ended}, true},
		"outage: a grace after it":                       {at(time.Minute + grace), grace, []outage{ended}, true},
		"outage: later than that":                        {at(time.Minute + grace + tick), grace, []outage{ended}, false},
		"outage: began just before the grace ended":      {at(time.Minute), grace, []outage{withinReach}, true},
		"outage: began when the grace had ended":         {at(time.Minute), grace, []outage{outOfReach}, false},
		"outage: lasts, and began after the grace":       {at(time.Minute), grace, []outage{{began: at(grace)}}, false},
		"outage: ended before the rotation":              {at(grace + tick), grace, []outage{{began: at(-time.Hour), ended: at(-time.Second)}}, false},
		"outage: the rotation was during it":             {at(time.Hour), grace, []outage{{began: at(-time.Hour), ended: at(time.Hour)}}, true},
		"outage: one of two":                             {at(time.Minute), grace, []outage{outOfReach, withinReach}, true},
		"outage: a second one does not extend the first": {at(2 * time.Minute), grace, []outage{ended, {began: at(90 * time.Second), ended: at(2 * time.Minute)}}, false},
		"outage: without a grace":                        {at(time.Minute), 0, []outage{ended, lasting}, false},
	} {
		if got := inGrace(rotated, test.now, test.grace, test.outages); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
