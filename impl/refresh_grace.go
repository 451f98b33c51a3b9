package impl

import "time"

// outage is a time during which the service or the database was unavailable, so responses to rotations may have been lost.
type outage struct{ began, ended time.Time } // ended is zero while the outage lasts

// inGrace reports whether a refresh token that a rotation has replaced gets the same successor again at now:
//
//	Reason     Applies to                                      Until
//	rotation   every rotation                                  the rotation + grace
//	outage     rotations later than a grace before it began:   the end of the outage + grace
//	           this replica could not reach the database
//	start      the same rotations: the service was down        the start + grace
//	           after a stop or a crash
//
// The heartbeat (heartbeat.go) records both kinds of outages. Repeating a refresh does not extend the grace: refreshedAt is the time
// of the rotation. Without a grace, no token is repeated.
//
// Clocks: refreshedAt may come from another replica. A clock that is 5 s ahead of it ends the grace 5 s early, one that is 5 s behind
// 5 s late, so the grace must be much longer than the clock skew between replicas. After a clock is set back by 10 min, earlier rotations
// stay in grace for up to 10 min longer, so no user is logged out.
func inGrace(refreshedAt, now time.Time, grace time.Duration, outages []outage) bool {
	if grace <= 0 {
		return false
	}
	if now.Sub(refreshedAt) <= grace {
		return true
	}
	for _, o := range outages {
		mayBeLost := refreshedAt.After(o.began.Add(-grace))
		if mayBeLost && (o.ended.IsZero() || now.Sub(o.ended) <= grace) {
			return true
		}
	}
	return false
}
