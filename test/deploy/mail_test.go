package deploy

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"testing"
)

// checkMailCertificate fails the test unless the mail server's certificate is valid for the host of the mail URL and for the CA file of
// the service.
func checkMailCertificate(t *testing.T, mailURL, certificate, key string) {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	host, err := url.Parse(mailURL[:len(mailURL)-1])
	if err != nil {
		t.Fatal(err)
	}
	if host.Query().Get("ca") != "/run/secrets/mail_ca" {
		t.Errorf("the mail URL is %s", host)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM([]byte(certificate))
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host.Hostname(), Roots: authorities}); err != nil {
		t.Error(err)
	}
}
