// Package limit enforces rate limits: on guesses at passwords, invite codes and links, and on requests that send e-mail. The counts are in
// the database, so all replicas share them.
//
// # The model
//
// Only wrong guesses count, and a request that is still in progress never causes a refusal for another one. There are two protocols.
//
// One transaction decides a sign-up, a reset or an unknown link. It locks the row of the quota, checks what is available, decides and
// counts: [Limits.Take] and [Limits.Lock]. Transactions on the same quota run one after another. A transaction that fails, is cancelled or
// is killed rolls back, and has counted nothing.
//
// A login takes longer, because it hashes a password, and it must not keep a transaction open meanwhile. [Limits.BeginLogin] therefore
// reserves quota in a row of its own. The end of the login records the result and deletes the reservation:
//
//	right password                [Limits.RecordLoginSuccess], in the transaction of the login: deletes the account's failures
//	wrong password                [Limits.RecordLoginFailure]: counts a failure
//	too busy, unavailable         [Limits.ReleaseLogin]: counts nothing
//	cancelled by the client       as above if a password was compared before, otherwise [Limits.ReleaseLogin]
//	process killed                nothing is called: the reservation expires after half a minute
//
// If quota is left but reserved by logins in progress, a login waits until they have ended. At most eight logins of one account wait in one
// process. So parallel guesses gain nothing over sequential ones, and no login is refused because of a login that is still in progress.
//
// # Clocks
//
// A row stores the latest time at which any replica wrote it. A replica whose clock is behind uses that time instead of its own. So a clock
// that is behind by seconds, or was set back by minutes, refills no quota twice. It only refuses again, and for as much longer, what was
// refused recently. A row that was written by a clock more than an hour ahead is ignored. Every wait is enforced up to five seconds less
// than Retry-After says, so that a replica whose clock is behind also accepts clients that waited as long as another replica told them to.
package limit
