// Package timing holds the time that an answer takes against what it must not tell.
package timing

import (
	"slices"
	"time"
)

// AUC is how well one request's time tells two kinds apart: the probability that a request of the second kind takes longer than one
// of the first, ties counted half. 0.5 is a coin, 0 and 1 are certainty.
func AUC(first, second []time.Duration) float64 {
	type sample struct {
		took   time.Duration
		second bool
	}
	var all []sample
	for _, took := range first {
		all = append(all, sample{took, false})
	}
	for _, took := range second {
		all = append(all, sample{took, true})
	}
	slices.SortFunc(all, func(a, b sample) int { return int(a.took - b.took) })

	// Mann and Whitney: from the sum of the second kind's ranks, where those who tie share the mean of their ranks.
	ranks := 0.0
	for begin := 0; begin < len(all); {
		end := begin
		seconds := 0
		for ; end < len(all) && all[end].took == all[begin].took; end++ {
			if all[end].second {
				seconds++
			}
		}
		ranks += float64(seconds) * float64(begin+1+end) / 2
		begin = end
	}
	n := float64(len(second))
	return (ranks - n*(n+1)/2) / (n * float64(len(first)))
}

// Median of an odd or even number of times.
func Median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
