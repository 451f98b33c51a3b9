package impl

import "time"

// outage is a time during which the service, or the database, could not be reached: it may have swallowed the answers of rotations.
type outage struct{ began, ended time.Time } // while it lasts, ended is zero

// inGrace reports whether the refresh token that a rotation replaced gets the same successor again at now:
//
//	Allowance  For which rotations                            Until
//	rotation   every one                                      the rotation + grace
//	outage     those later than a grace before it began:      the end of the outage + grace
//	           this replica could not reach the database
//	start      the same rule: the service came back after     the start + grace
//	           a stop or a crash
//
// Both kinds of outages come from the heartbeat. A repetition extends nothing: all three count from the rotation. Without a grace
// there is no allowance.
//
// Clocks: refreshedAt may be from another replica. A clock that is 5 s ahead of it ends the grace 5 s early, one that is 5 s behind
// 5 s late, so the grace of replicas has to be much longer than their clocks differ. After a clock was set back by 10 min, rotations
// from before that stay in grace for up to 10 min more: nobody is logged out by it.
func inGrace(refreshedAt, now time.Time, grace time.Duration, outages []outage) bool {
	if grace <= 0 {
		return false
	}
	if now.Sub(refreshedAt) <= grace {
		return true
	}
	for _, o := range outages {
		swallowed := refreshedAt.After(o.began.Add(-grace))
		if swallowed && (o.ended.IsZero() || now.Sub(o.ended) <= grace) {
			return true
		}
	}
	return false
}
