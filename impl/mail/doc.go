// Package mail sends what a committed change owes to a person.
//
// The Worker leases rows of the outbox, writes the message (message.go), builds its bytes (compose.go) and hands them
// to a Transport: files in a directory (files.go), which a Mailbox shows, or a mail relay (smtp.go). Nothing secret is
// in the outbox: links and passwords are derived from the row when it is sent.
package mail
