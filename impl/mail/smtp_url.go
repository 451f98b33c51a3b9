package mail

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// openSMTP returns the transport of an smtp:// or smtps:// URL.
func openSMTP(mailURL, mailDomain string, timeout time.Duration) (*relay, error) {
	u, err := url.Parse(mailURL)
	if err != nil { // the error would quote the URL
		return nil, mailURLError("is not a URL; special characters in its user name and password must be percent-encoded")
	}
	r := &relay{host: u.Hostname(), port: u.Port(), implicitTLS: u.Scheme == "smtps", helo: mailDomain, timeout: timeout, pool: newPool()}
	switch {
	case timeout <= 0:
		return nil, errors.New("AUTH_MAIL_TIMEOUT must be more than 0")
	case u.Opaque != "" || r.host == "":
		return nil, mailURLError("names no host: write %s://host", u.Scheme)
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return nil, mailURLError("has something after the host that is not a parameter")
	}
	if r.port == "" {
		r.port = map[bool]string{false: "587", true: "465"}[r.implicitTLS] // RFC 6409, RFC 8314
	}
	if n, err := strconv.ParseUint(r.port, 10, 16); err != nil || n == 0 {
		return nil, mailURLError("has a bad port")
	}
	if u.User != nil {
		var withPassword bool
		r.user = u.User.Username()
		if r.pass, withPassword = u.User.Password(); r.user == "" || !withPassword {
			return nil, mailURLError("needs both a user name and a password, or neither")
		}
		if strings.ContainsAny(r.user+r.pass, "\x00\r\n") {
			return nil, mailURLError("has a control character in its user name or password")
		}
	}
	if err := r.setParameters(u.RawQuery); err != nil {
		return nil, err
	}
	return r, nil
}

// setParameters applies the query of the URL: tls=none, ca=FILE, helo=NAME.
func (r *relay) setParameters(rawQuery string) error {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return mailURLError("has malformed parameters")
	}
	if strings.Contains(rawQuery, "@") { // then the parameters may be the end of a password
		return mailURLError("has an @ behind a ?; special characters in its user name and password must be percent-encoded")
	}
	var roots *x509.CertPool // the system's
	for name, values := range query {
		value := values[0]
		switch {
		case len(values) > 1:
			return mailURLError("has the parameter %q twice", name)
		case name == "tls" && value == "none":
			r.plain = true
		case name == "tls":
			return mailURLError("has a bad parameter tls: only none is known")
		case name == "ca":
			if roots, err = readCertificates(value); err != nil {
				return mailURLError("has a bad parameter ca: %w", err)
			}
		case name == "helo":
			if value == "" || strings.Trim(value, addressDomain+"[]:") != "" {
				return mailURLError("has a bad parameter helo: it must be a host name")
			}
			r.helo = value
		default:
			return mailURLError("has an unknown parameter %q: tls, ca and helo are known", name)
		}
	}
	if !r.plain {
		r.tls = &tls.Config{ServerName: r.host, RootCAs: roots, MinVersion: tls.VersionTLS12}
		return nil
	}
	switch {
	case r.implicitTLS:
		return mailURLError("cannot have tls=none with smtps://")
	case roots != nil:
		return mailURLError("cannot have both tls=none and ca")
	case !isLoopback(r.host):
		return mailURLError("has tls=none, which is only for a relay on this machine: localhost, 127.0.0.1 or [::1]")
	}
	return nil
}

// readCertificates reads the PEM file of the parameter ca.
func readCertificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // a setting
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// isLoopback reports whether a host is this machine, by its name or address.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
