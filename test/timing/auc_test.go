package timing

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestAUC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first, second []time.Duration
		want          float64
	}{
		{[]time.Duration{1, 2, 3}, []time.Duration{4, 5}, 1},
		{[]time.Duration{4, 5}, []time.Duration{1, 2, 3}, 0},
		{[]time.Duration{1, 2}, []time.Duration{1, 2}, 0.5},
		{[]time.Duration{7}, []time.Duration{7, 7, 7}, 0.5},
		{[]time.Duration{1, 3}, []time.Duration{2, 4}, 0.75},
		{[]time.Duration{1, 2, 2}, []time.Duration{2, 3}, 5.0 / 6},
	} {
		if got := AUC(c.first, c.second); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("AUC(%v, %v) = %v, want %v", c.first, c.second, got, c.want)
		}
	}
}

// TestAUCFindsSmallDifference checks that AUC detects a difference of an eighth of the standard deviation, and none between equal kinds.
func TestAUCFindsSmallDifference(t *testing.T) {
	t.Parallel()
	const pairs, spread = 5000, float64(time.Millisecond)
	source := rand.New(rand.NewPCG(1, 2)) // a fixed seed
	draw := func(shift float64) (times []time.Duration) {
		for range pairs {
			times = append(times, 40*time.Millisecond+time.Duration(spread*(source.NormFloat64()+shift)))
		}
		return times
	}
	if got := AUC(draw(0), draw(0)); math.Abs(got-0.5) > tolerance {
		t.Errorf("equal kinds: %.3f", got)
	}
	if got := AUC(draw(0), draw(0.125)); got-0.5 <= tolerance {
		t.Errorf("different kinds: %.3f", got)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if a, b := Median([]time.Duration{9, 1, 5}), Median([]time.Duration{4, 1, 2, 9}); a != 5 || b != 3 {
		t.Errorf("%d and %d", a, b)
	}
}
