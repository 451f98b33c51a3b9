package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// unknownVariable is a variable of the environment that looks like a setting and is none.
type unknownVariable struct{ name, nearest string }

// observe learns what the values do not tell: whether the mail URL was given, and which AUTH_... variables are no settings.
func (s *Settings) observe(command *kong.Context, environ []string) {
	s.mailURLGiven = s.MailURLFile != "" || slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "AUTH_MAIL_URL=") }) ||
		slices.ContainsFunc(command.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == "mail-url" })
	s.unknown = unknownVariables(variables(command.Model.Node), environ)
}

// variables are the names of all variables that a command or one of its commands reads.
func variables(node *kong.Node) []string {
	var names []string
	for _, flag := range node.Flags {
		names = append(names, flag.Envs...)
	}
	for _, child := range node.Children {
		names = append(names, variables(child)...)
	}
	return names
}

// unknownVariables are those of the environment that look like a setting and are none, with the nearest one that there is.
func unknownVariables(known, environ []string) []unknownVariable {
	var unknown []unknownVariable
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		likely := likelyName(name)
		if !strings.HasPrefix(likely, "AUTH_") || slices.Contains(known, name) {
			continue
		}
		nearest := slices.MinFunc(known, func(a, b string) int { return distance(likely, a) - distance(likely, b) })
		if !strings.Contains(name, "AUTH_") && nearest != likely {
			continue // another program's, which writes its variables in small letters
		}
		unknown = append(unknown, unknownVariable{name, nearest})
	}
	slices.SortFunc(unknown, func(a, b unknownVariable) int { return strings.Compare(a.name, b.name) })
	return unknown
}

// likelyName is what a name in an environment file was meant to be: without a byte order mark, blanks and "export", which some readers
// of such files take for a part of it, in capitals and with underscores.
func likelyName(name string) string {
	name = strings.TrimPrefix(strings.Trim(name, "\ufeff \t\r\"'"), "export ")
	return strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(strings.TrimSpace(name)))
}

// distance is the number of letters that must be added or removed to make b of a. One that is replaced counts twice: names are
// shortened more often than they are given other words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced += 2
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// warn logs settings that are possible, and hardly meant. It never logs a value that may be a secret.
func (s *Settings) warn(ctx context.Context, log *slog.Logger) {
	for _, u := range s.unknown {
		log.WarnContext(ctx, "settings.unknown", slog.String("variable", u.name), slog.String("nearest", u.nearest))
	}
	mailToFiles := strings.HasPrefix(s.MailURL, "file:")
	postgres := s.sqlitePath() == ""
	local := isLocal(s.PublicURL)
	if local && (postgres || !mailToFiles) {
		log.WarnContext(ctx, "settings.public_url_local", slog.String("public_url", s.PublicURL),
			slog.String("consequence", "mailed links lead to the reader's own machine, and tokens name it as their issuer: set AUTH_PUBLIC_URL"))
	}
	if mailToFiles && !s.mailURLGiven && (postgres || !local) {
		log.WarnContext(ctx, "settings.mail_to_files",
			slog.String("consequence", "nobody gets a mail, they are written to files and count as sent: set AUTH_MAIL_URL, to file:DIRECTORY if that is meant"))
	}
	if host, _, _ := net.SplitHostPort(s.AdminAddr); mailToFiles && !isLocalHost(host) {
		log.WarnContext(ctx, "settings.mailbox_exposed", slog.String("admin_addr", s.AdminAddr),
			slog.String("consequence", "whoever reaches AUTH_ADMIN_ADDR reads the mailed links and passwords"))
	}
}

// isLocal reports whether a URL leads to whatever machine it is opened on.
func isLocal(text string) bool {
	u, err := url.Parse(text)
	return err == nil && isLocalHost(u.Hostname())
}

// isLocalHost reports whether a host is the machine itself, or none in particular.
func isLocalHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback() || ip.Unmap().IsUnspecified()
	}
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
