// Package timing tests that response times do not reveal whether an account exists.
package timing

import (
	"slices"
	"time"
)

// AUC returns the area under the ROC curve of a classifier by response time: the probability that a request of the second kind takes
// longer than one of the first kind, where ties count half. 0.5 means that the kinds cannot be distinguished, 0 and 1 that they always can.
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

	// The Mann-Whitney U statistic: from the sum of the second kind's ranks, where ties have the mean of their ranks.
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

// Median returns the median; for an even number of times, the mean of the middle two.
func Median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
