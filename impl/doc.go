// Package impl implements the operations of openapi.yaml. Each operation has a file that is named after its operationId.
//
// # How an operation is built
//
// An operation is a method of [Service]; api.StrictServerInterface lists all of them. Before impl/server calls the method, it has
// validated the request against openapi.yaml and verified the access token. The method returns one of the documented responses of the
// operation. Every other outcome is an error: impl/server maps it to 401, 429, 500 or 503. Package impl depends on neither HTTP routing nor
// a SQL driver.
//
// What several operations share is in a file of its own: login*.go (a login attempt, its session, its notice), signup_*.go (the account and
// the invite of a sign-up), password_reset.go, link_forms.go, sessions.go, tokens.go and documents.go.
//
// # Transactions
//
// An operation makes its change in one transaction (db.Store.InTx), or in one statement (db.Store.Write). The function that InTx calls
// may run twice, so it resets the variables that it sets outside. No password is hashed in a transaction. Transactions lock rows in this
// order, so that they cannot deadlock: the limits of the client IP, the invite, the account, the confirmation, the mail, the limit of the
// address.
//
// # Limits
//
// An operation first calls Check, which only reads and refuses a flood cheaply, and then Take or Lock in its transaction. A login reserves
// quota before the password is compared and records its result afterwards: see login_attempt.go and package impl/limit. mail_limits.go has the
// limits on e-mail.
//
// # E-mail
//
// An operation enqueues an e-mail as a row of the table mail, in the transaction that causes it (outbox.go), and calls MailQueued after the
// commit. Package impl/mail delivers it. Links and passwords are derived from the row at that time, so the database contains none.
//
// # Hidden accounts
//
// With AUTH_HIDE_ACCOUNTS, neither a response nor its time reveals whether an address has an account (ASVS 6.3.8). No path of an operation
// may do less than another before the response. Three files handle this: signup_decoy.go creates the same rows for a taken address,
// user_password_reset.go only stores the request, and reset_worker.go does the reset later.
//
// # Refreshes
//
// A refresh is one conditional update of the session's row (refresh_access_token.go). A token that was already replaced gets the same
// successor again while refresh_grace.go allows it; heartbeat.go records the outages that extend the grace.
package impl
