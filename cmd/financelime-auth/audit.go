package main

import (
	"log/slog"
	"os"
	"strconv"
)

// newAudit is the log of what operators do: one line for each change, to standard error, in the format of the service's log
// (AUTH_LOG_FORMAT) at any AUTH_LOG_LEVEL. It names accounts by id, and who did it as far as the system tells.
func newAudit(s *Settings, c console) *slog.Logger {
	always := *s
	always.LogLevel = "info"
	return newLogger(&always, c.err).With(slog.String("operator", operator()))
}

// operator is who runs the command: under sudo, who asked for it.
func operator() string {
	for _, name := range []string{"SUDO_USER", "USER", "USERNAME"} {
		if user := os.Getenv(name); user != "" {
			return user
		}
	}
	return "uid " + strconv.Itoa(os.Getuid())
}
