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

// unknownVariable is an environment variable that looks like a setting but is not, with the most similar setting.
type unknownVariable struct{ name, nearest string }

// inspect records what warn needs besides the values: whether AUTH_MAIL_URL was set, and which AUTH_... variables are unknown.
func (s *Settings) inspect(command *kong.Context, environ []string) {
	s.mailURLSet = s.MailURLFile != "" || slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "AUTH_MAIL_URL=") }) ||
		slices.ContainsFunc(command.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == "mail-url" })
	s.unknownVariables = unknownVariables(variables(command.Model.Node), environ)
}

// variables returns the names of the environment variables of a command and its subcommands.
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

// unknownVariables returns the environment variables that look like a setting but are not.
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
			continue // a variable of another program, in lower case
		}
		unknown = append(unknown, unknownVariable{name, nearest})
	}
	slices.SortFunc(unknown, func(a, b unknownVariable) int { return strings.Compare(a.name, b.name) })
	return unknown
}

// likelyName returns the setting that a name was probably meant to be: in upper case, with underscores, and without a byte order mark,
// white space and "export", which some readers of environment files include in the name.
func likelyName(name string) string {
	name = strings.TrimPrefix(strings.Trim(name, "\ufeff \t\r\"'"), "export ")
	return strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToUpper(strings.TrimSpace(name)))
}

// distance returns the edit distance of a and b: how many letters must be added or removed to turn a into b. A replaced letter counts
// twice, because names are shortened more often than misspelled.
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

// warn logs settings that are valid but probably wrong. It never logs a value that can be a secret.
func (s *Settings) warn(ctx context.Context, log *slog.Logger) {
	for _, u := range s.unknownVariables {
		log.WarnContext(ctx, "settings.unknown", slog.String("variable", u.name), slog.String("nearest", u.nearest))
	}
	mailToFiles := strings.HasPrefix(s.MailURL, "file:")
	postgres := s.sqlitePath() == ""
	local := isLocal(s.PublicURL)
	if local && !s.Dev && (postgres || !mailToFiles) {
		log.WarnContext(ctx, "settings.public_url_local", slog.String("public_url", s.PublicURL),
			slog.String("consequence", "links in emails only work on this machine, and tokens have this URL as their issuer: set AUTH_PUBLIC_URL"))
	}
	if !local && s.AppURL != "" && isLocal(s.AppURL) {
		log.WarnContext(ctx, "settings.app_url_local", slog.String("app_url", s.AppURL),
			slog.String("consequence", "the button to the app only works on this machine: set AUTH_APP_URL"))
	}
	if mailToFiles && !s.mailURLSet && !s.Dev && (postgres || !local) {
		log.WarnContext(ctx, "settings.mail_to_files",
			slog.String("consequence", "emails are written to files and reach nobody, but count as sent: set AUTH_MAIL_URL (to file:DIRECTORY if you want files)"))
	}
	if host, _, _ := net.SplitHostPort(s.AdminAddr); mailToFiles && !isLocalHost(host) {
		log.WarnContext(ctx, "settings.mailbox_exposed", slog.String("admin_addr", s.AdminAddr),
			slog.String("consequence", "everyone who can reach AUTH_ADMIN_ADDR can read the mailed links and passwords"))
	}
}

// isLocal reports whether a URL points to the machine on which it is opened.
func isLocal(text string) bool {
	u, err := url.Parse(text)
	return err == nil && isLocalHost(u.Hostname())
}

// isLocalHost reports whether a host is the local machine or unspecified.
func isLocalHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Unmap().IsUnspecified() || isLoopbackHost(host)
}
