// Package mail sends what a committed change owes to a person.
//
// The Worker finds and leases rows of the outbox (dispatch.go, lease.go) while the relay can take more (gate.go). Of each, it writes
// the message (message.go), builds its bytes (compose.go, header.go), hands them to a Transport and records how that went (deliver.go,
// retry.go). Transports are files in a directory (files.go), which a Mailbox shows, and a mail relay (smtp*.go).
// Nothing secret is in the outbox: links and passwords are derived from the row when it is sent. Rows that are done with
// are forgotten after some days (housekeeping.go, called by impl/keep); those that died can be sent again (again.go).
package mail
