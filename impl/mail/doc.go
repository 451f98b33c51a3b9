// Package mail delivers queued e-mail from the transactional outbox.
//
// # Outbox
//
// Each mail is a row of the table mail, inserted with [Enqueue] in the transaction that causes it. [Worker] finds due rows, leases them, renders
// the message ([Render]), builds its bytes (compose.go, header.go), passes them to a [Transport] and records the result.
// Each mail is sent at least once. All attempts have the same Message-ID and the same link or password, so a second copy does no harm.
// [Files] and the SMTP relay (smtp.go) are the transports; [NewMailbox] shows the mails that Files has written.
//
// # Secrets
//
// No link or password is stored. The worker derives a link from the ID of its confirmation, and a password from the nonce of its row, both with
// AUTH_SECRET, when it sends the mail. The nonce is erased when the mail is sent or fails permanently. Errors are redacted before they are
// logged or stored, because relays quote addresses and links (redact.go).
//
// # Lease and fence
//
// A worker leases a row before it reads anything else: it increments attempts and sets due_at to the end of the lease, 15 s ahead. It renews
// the lease every 3 s. A lease that ends is due again, so another worker takes over the mails of a process that died (lease.go). The pair
// (attempts, due_at) is the fence: the statements that renew the lease or record the result compare it, so a holder whose lease was taken over
// changes nothing. A holder stops 5 s before its lease ends, because clocks of replicas may differ by 5 s. It stops immediately before the
// relay can have the whole message (Envelope.Commit), never after: then only the relay's reply shows whether it has the mail.
//
// # Results
//
// Worker.complete (result.go) records one of these results. [PermanentError], [RelayError] and [RefusedError] are how a transport reports its
// part; classify (smtp_refusal.go) derives them from SMTP replies, after the table in docs/mail.md.
//
//	result of the attempt                             row                                        event
//	accepted by the relay                             sent_at                                    mail.sent
//	no longer wanted: link expired, account disabled  dead_at                                    mail.superseded
//	permanent failure, or queued 24 h ago or more     dead_at                                    mail.dead
//	shutdown                                          due immediately                            mail.retried
//	relay problem, lease lost, database or hash busy  due immediately or soon, attempt uncounted mail.requeued
//	kind of mail that only a newer version has        due after a delay, attempt uncounted       mail.unknown_kind
//	every other failure                               due after the backoff                      mail.retried
//
// # Backoff
//
// The delay after the first failure is 5 to 10 s. It doubles with each counted attempt, up to 30 to 60 min (backoff.go).
//
// # Circuit breaker
//
// The breaker (breaker.go) stops normal sending while the relay is down, so that the relay is not flooded and the delays of mails do
// not grow. While it is open, one mail at a time probes the relay. It also lowers the concurrency limit to the number of connections that
// the relay accepts. Each worker has its own breaker.
package mail
