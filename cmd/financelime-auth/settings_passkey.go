package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/financelime/authorization/impl/passkey"
)

// checkPasskeys checks the RP ID and the origins of passkeys, and sets their defaults. Without a setting, a public URL whose host cannot be an
// RP ID, such as an IP address, only means that the service has no passkeys.
func (s *Settings) checkPasskeys() error {
	if s.PasskeyRPID == "" {
		if passkey.CheckID(s.publicHost()) != nil {
			if len(s.PasskeyOrigins) > 0 {
				return fmt.Errorf("AUTH_PASSKEY_ORIGINS: passkeys need a domain, which %s does not have: set AUTH_PASSKEY_RP_ID", s.PublicURL)
			}
			return nil
		}
		s.PasskeyRPID = s.publicHost()
	} else if err := passkey.CheckID(s.PasskeyRPID); err != nil || s.PasskeyRPID != strings.ToLower(s.PasskeyRPID) {
		return fmt.Errorf("AUTH_PASSKEY_RP_ID: %q is not a domain such as example.com, in lower case and ASCII", s.PasskeyRPID)
	}
	if len(s.PasskeyOrigins) == 0 {
		public, err := url.Parse(s.PublicURL)
		if err != nil {
			return fmt.Errorf("AUTH_PUBLIC_URL %w", err)
		}
		if !s.isPasskeyHost(public.Hostname()) {
			return fmt.Errorf("AUTH_PASSKEY_RP_ID: %q is neither the host of AUTH_PUBLIC_URL nor a parent domain of it: set AUTH_PASSKEY_ORIGINS", s.PasskeyRPID)
		}
		s.PasskeyOrigins = []string{publicOrigin(public)}
	}
	return s.checkPasskeyOrigins()
}

// checkPasskeyOrigins checks each origin, and separates those of apps. At least one must be a website: the library requires it.
func (s *Settings) checkPasskeyOrigins() error {
	s.passkeys = passkey.Config{ID: s.PasskeyRPID}
	for _, origin := range s.PasskeyOrigins {
		if !strings.HasPrefix(origin, "http:") && !strings.HasPrefix(origin, "https:") {
			if err := passkey.CheckAppOrigin(origin); err != nil {
				return fmt.Errorf("AUTH_PASSKEY_ORIGINS: %q %w", origin, err)
			}
			s.passkeys.AppOrigins = append(s.passkeys.AppOrigins, origin)
			continue
		}
		if err := s.checkPasskeyWebsite(origin); err != nil {
			return fmt.Errorf("AUTH_PASSKEY_ORIGINS: %q %w", origin, err)
		}
		s.passkeys.Origins = append(s.passkeys.Origins, origin)
	}
	if len(s.passkeys.Origins) == 0 {
		return errors.New("AUTH_PASSKEY_ORIGINS: there are only origins of apps: add that of the public URL")
	}
	return nil
}

func (s *Settings) checkPasskeyWebsite(origin string) error {
	if err := checkOrigin(origin); err != nil {
		return err
	}
	u, err := url.Parse(origin)
	switch {
	case err != nil:
		return errors.New("is not an origin such as https://app.example.com")
	case !s.isPasskeyHost(u.Hostname()):
		return fmt.Errorf("is not in the domain %s (AUTH_PASSKEY_RP_ID): browsers refuse its passkeys there", s.PasskeyRPID)
	case u.Scheme == "http" && s.given["AUTH_PASSKEY_ORIGINS"] && !isLoopbackHost(u.Hostname()):
		return errors.New("must begin with https://: browsers have no passkeys elsewhere. Only localhost can use http://")
	}
	return nil
}

// isPasskeyHost reports whether pages of a host can use passkeys of the RP ID: the host is that domain or is in it.
func (s *Settings) isPasskeyHost(host string) bool {
	return host == s.PasskeyRPID || strings.HasSuffix(host, "."+s.PasskeyRPID)
}

// publicOrigin returns the origin of the public URL, as browsers send it.
func publicOrigin(public *url.URL) string {
	port := map[string]string{"http": ":80", "https": ":443"}[public.Scheme]
	return public.Scheme + "://" + strings.TrimSuffix(public.Host, port)
}

// openPasskeys returns the relying party; nil if the service has no RP ID.
func (s *Settings) openPasskeys(name string) (*passkey.RelyingParty, error) {
	if s.PasskeyRPID == "" {
		return nil, nil
	}
	cfg := s.passkeys
	cfg.Name = name
	party, err := passkey.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("AUTH_PASSKEY_ORIGINS: %w", err)
	}
	return party, nil
}
