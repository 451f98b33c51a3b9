package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/secret"
	"github.com/financelime/authorization/impl/token"
)

// Settings are all settings, with their defaults. A comment that --help should show is a help tag. The tag text says what a text
// may have: printable ASCII without blanks if there is none, also "blanks", also "unicode", or "any" of both.
type Settings struct {
	HTTPAddr      string        `group:"Addresses" name:"http-addr" env:"AUTH_HTTP_ADDR" default:":8080" help:"Where the API listens."`
	AdminAddr     string        `group:"Addresses" name:"admin-addr" env:"AUTH_ADMIN_ADDR" default:"127.0.0.1:8081" help:"Where health, metrics and the local mailbox listen. Never make it public."`
	PublicURL     string        `group:"Addresses" name:"public-url" text:"unicode" env:"AUTH_PUBLIC_URL" default:"http://localhost:8080" help:"Base of the links in mails, and the default issuer of tokens: another one ends all sessions, unless --token-issuer keeps the issuer."`
	Proxies       []string      `group:"Addresses" name:"trusted-proxies" env:"AUTH_TRUSTED_PROXIES" help:"Networks (10.0.0.0/8) or addresses of the gateways whose X-Forwarded-For is believed. None by default."`
	CORSOrigins   []string      `group:"Addresses" name:"cors-origins" text:"unicode" env:"AUTH_CORS_ORIGINS" help:"Origins (https://app.example.com) whose pages may call the service from a browser. None by default."`
	ShutdownDelay time.Duration `group:"Addresses" name:"shutdown-delay" env:"AUTH_SHUTDOWN_DELAY" default:"1s" help:"After SIGTERM: how long to go on accepting requests while not ready. Then requests in flight get 25s."`

	DatabaseURL     string `group:"Storage" name:"database-url" text:"any" env:"AUTH_DATABASE_URL" default:"sqlite:data/auth.db" help:"sqlite:PATH or postgres://..."`
	DatabaseURLFile string `group:"Storage" name:"database-url-file" text:"any" env:"AUTH_DATABASE_URL_FILE" help:"File that holds the database URL instead."`
	Secret          string `group:"Storage" name:"secret" env:"AUTH_SECRET" help:"32 random bytes in base64, from which all keys are derived. With SQLite made on the first start, in the file secret beside the database; with PostgreSQL required."`
	SecretFile      string `group:"Storage" name:"secret-file" text:"any" env:"AUTH_SECRET_FILE" help:"File that holds the secret instead."`

	SecretPrevious     string `group:"Storage" name:"secret-previous" env:"AUTH_SECRET_PREVIOUS" help:"A second secret that is accepted besides, while the secret is changed: docs/keys.md."`
	SecretPreviousFile string `group:"Storage" name:"secret-previous-file" text:"any" env:"AUTH_SECRET_PREVIOUS_FILE" help:"File that holds the second secret instead."`

	MailURL     string        `group:"Mail" name:"mail-url" text:"any" env:"AUTH_MAIL_URL" default:"file:data/mail" help:"smtp://user:password@host:587, smtps://user:password@host:465, or file:DIRECTORY for a mailbox on the admin port."`
	MailURLFile string        `group:"Mail" name:"mail-url-file" text:"any" env:"AUTH_MAIL_URL_FILE" help:"File that holds the mail URL instead."`
	MailFrom    string        `group:"Mail" name:"mail-from" text:"any" env:"AUTH_MAIL_FROM" default:"Financelime <no-reply@financelime.com>" help:"Sender of the mails."`
	MailTimeout time.Duration `group:"Mail" name:"mail-timeout" env:"AUTH_MAIL_TIMEOUT" default:"30s" help:"For every step of a conversation with the mail server."`

	InviteRequired    bool          `group:"Accounts" name:"invite-code-required" env:"AUTH_INVITE_CODE_REQUIRED" default:"true" negatable:"" help:"Whether a sign-up needs an invite code."`
	SignUpLinkTTL     time.Duration `group:"Accounts" name:"signup-link-ttl" env:"AUTH_SIGNUP_LINK_TTL" default:"24h" help:"Life of a confirmation link, and of a sign-up that waits for it."`
	PasswordLinkTTL   time.Duration `group:"Accounts" name:"password-link-ttl" env:"AUTH_PASSWORD_LINK_TTL" default:"30m" help:"Life of a password reset link."`
	MailedPasswordTTL time.Duration `group:"Accounts" name:"mailed-password-ttl" env:"AUTH_MAILED_PASSWORD_TTL" default:"24h" help:"Life of a mailed password that nobody uses."`
	HideAccounts      bool          `group:"Accounts" name:"hide-accounts" env:"AUTH_HIDE_ACCOUNTS" default:"false" negatable:"" help:"Whether sign-ups and password resets are answered alike whether or not the account exists: docs/accounts.md."`
	LoginNotice       string        `group:"Accounts" name:"login-notice" env:"AUTH_LOGIN_NOTICE" default:"new-device" enum:"new-device,always,never" help:"Which log-ins are told by mail: new-device, always or never."`
	SessionsPerUser   int64         `group:"Accounts" name:"sessions-per-user" env:"AUTH_SESSIONS_PER_USER" default:"100" help:"How many sessions a user may have. One more ends the one that was refreshed longest ago."`
	ClientIDs         []string      `group:"Accounts" name:"client-ids" text:"blanks" env:"AUTH_CLIENT_IDS" help:"The clientIDs that may log in. All by default."`

	Limits       string     `group:"Limits" name:"limits" env:"AUTH_LIMITS" default:"on" enum:"on,off" help:"off: a gateway does it all."`
	LoginAccount limit.Rate `group:"Limits" name:"limit-login-account" env:"AUTH_LIMIT_LOGIN_ACCOUNT" default:"10/1m" help:"Failed log-ins of an account; after those, each doubles the delay."`
	LoginSource  limit.Rate `group:"Limits" name:"limit-login-source" env:"AUTH_LIMIT_LOGIN_SOURCE" default:"100/10m" help:"Failed log-ins from a source: an IPv4 address or an IPv6 /64."`
	MailAddress  limit.Rate `group:"Limits" name:"limit-mail-address" env:"AUTH_LIMIT_MAIL_ADDRESS" default:"6/1h" help:"Mails with links that one address is sent."`
	SignUpSource limit.Rate `group:"Limits" name:"limit-signup-source" env:"AUTH_LIMIT_SIGNUP_SOURCE" default:"60/1h" help:"Sign-ups from a source."`
	ResetSource  limit.Rate `group:"Limits" name:"limit-reset-source" env:"AUTH_LIMIT_RESET_SOURCE" default:"60/1h" help:"Password resets requested from a source."`
	InviteSource limit.Rate `group:"Limits" name:"limit-invite-source" env:"AUTH_LIMIT_INVITE_SOURCE" default:"20/1h" help:"Unknown invite codes from a source."`
	LinkSource   limit.Rate `group:"Limits" name:"limit-link-source" env:"AUTH_LIMIT_LINK_SOURCE" default:"20/1h" help:"Useless links opened from a source."`

	AccessTTL     time.Duration `group:"Tokens" name:"access-token-ttl" env:"AUTH_ACCESS_TOKEN_TTL" default:"10m" help:"Life of an access token."`
	RefreshTTL    time.Duration `group:"Tokens" name:"refresh-token-ttl" env:"AUTH_REFRESH_TOKEN_TTL" default:"720h" help:"Life of a session that is not refreshed."`
	SessionMaxAge time.Duration `group:"Tokens" name:"session-max-age" env:"AUTH_SESSION_MAX_AGE" default:"4320h" help:"Life of a session at the most."`
	RefreshGrace  time.Duration `group:"Tokens" name:"refresh-grace" env:"AUTH_REFRESH_GRACE" default:"2m" help:"How long a used refresh token gives its successor again, for clients that lost the answer; 0 to 5m."`
	Issuer        string        `group:"Tokens" name:"token-issuer" env:"AUTH_TOKEN_ISSUER" help:"iss of the tokens; the public URL by default."`
	Audience      string        `group:"Tokens" name:"token-audience" env:"AUTH_TOKEN_AUDIENCE" help:"aud of the access tokens; the issuer by default."`
	SigningAlg    string        `group:"Tokens" name:"signing-alg" env:"AUTH_SIGNING_ALG" default:"ES256" enum:"ES256,RS256,EdDSA" help:"Algorithm of the access tokens: ES256, RS256 or EdDSA."`

	// Nobody needs other periods than the defaults, except for watching keys come and go in seconds.
	KeyLife    time.Duration `hidden:"" name:"signing-key-life" env:"AUTH_SIGNING_KEY_LIFE" default:"720h"`
	JWKSMaxAge time.Duration `hidden:"" name:"jwks-max-age" env:"AUTH_JWKS_MAX_AGE" default:"5m"`

	// Who has waited for a hash for so long is told to come back. It is longer only where a hash takes seconds: under the race detector.
	HashWait time.Duration `hidden:"" name:"hash-wait" env:"AUTH_HASH_WAIT" default:"1s"`

	Operator string `group:"Log" name:"operator" text:"any" env:"AUTH_OPERATOR" help:"Who runs a command, for its audit event; the user of the operating system by default."`

	LogFormat string `group:"Log" name:"log-format" env:"AUTH_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"text, json, or auto: text on a terminal, else json."`
	LogLevel  string `group:"Log" name:"log-level" env:"AUTH_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`

	trustedProxies []netip.Prefix
	mailURLGiven   bool // and not only the default
	unknown        []unknownVariable
}

// https tells whether the service is reached by https from outside.
func (s *Settings) https() bool { return strings.HasPrefix(s.PublicURL, "https:") }

// limits are the rates of the limits that are on.
func (s *Settings) limits() map[limit.Name]limit.Rate {
	if s.Limits == "off" {
		return nil
	}
	return map[limit.Name]limit.Rate{
		limit.LoginAccount: s.LoginAccount, limit.LoginSource: s.LoginSource, limit.MailAddress: s.MailAddress,
		limit.SignUpSource: s.SignUpSource, limit.ResetSource: s.ResetSource,
		limit.InviteSource: s.InviteSource, limit.LinkSource: s.LinkSource,
	}
}

// sqlitePath is the database file, or "" with PostgreSQL.
func (s *Settings) sqlitePath() string {
	path, isSQLite := strings.CutPrefix(s.DatabaseURL, "sqlite:")
	if !isSQLite {
		return ""
	}
	path, _, _ = strings.Cut(path, "?")
	return path
}

// tokens are the settings of the tokens and of the keys that sign them.
func (s *Settings) tokens() token.Config {
	return token.Config{
		Issuer: s.Issuer, Audience: s.Audience, Algorithm: s.SigningAlg, AccessTTL: s.AccessTTL, RefreshTTL: s.RefreshTTL,
		KeyLife: s.KeyLife, JWKSMaxAge: s.JWKSMaxAge,
	}
}

// root returns the root secret, with the one that is accepted besides it if there is one.
func (s *Settings) root() (secret.Root, error) {
	root, err := s.ownRoot()
	if err != nil || s.SecretPrevious == "" && s.SecretPreviousFile == "" {
		return root, err
	}
	previous, err := secret.Parse(s.SecretPrevious)
	if err != nil {
		return root, fmt.Errorf("AUTH_SECRET_PREVIOUS: %w", err)
	}
	if previous.Encode() == root.Encode() {
		return root, errors.New("AUTH_SECRET_PREVIOUS: it is the same as AUTH_SECRET")
	}
	return root.Accepting(previous), nil
}

// ownRoot is the secret of new things. With SQLite and no setting, it is the file secret beside the database, made on the
// first start.
func (s *Settings) ownRoot() (secret.Root, error) {
	if s.Secret != "" || s.SecretFile != "" {
		root, err := secret.Parse(s.Secret)
		if err != nil {
			return root, fmt.Errorf("AUTH_SECRET: %w", err)
		}
		return root, nil
	}
	database := s.sqlitePath()
	if database == "" {
		return secret.Root{}, errors.New("AUTH_SECRET: required with PostgreSQL; `openssl rand -base64 32` makes one, and every replica needs the same")
	}
	return secretBeside(database)
}

// secretBeside reads the file secret beside a database, or makes it where there is no database yet.
func secretBeside(database string) (secret.Root, error) {
	path := filepath.Join(filepath.Dir(database), "secret")
	content, err := os.ReadFile(path) //nolint:gosec // the operator's own choice of folder
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(database); err == nil {
			return secret.Root{}, fmt.Errorf("AUTH_SECRET: %s is missing, and without it %s can not be used: restore it", path, database)
		}
		if err := makeSecret(path); err != nil {
			return secret.Root{}, fmt.Errorf("AUTH_SECRET: %w", err)
		}
		content, err = os.ReadFile(path) //nolint:gosec // as above
	}
	if err != nil {
		return secret.Root{}, fmt.Errorf("AUTH_SECRET: %w", err)
	}
	root, err := secret.Parse(string(content))
	if err != nil {
		return root, fmt.Errorf("AUTH_SECRET: %s: %w", path, err)
	}
	return root, nil
}

// makeSecret writes a new secret for the owner only. It appears under its name whole or not at all, and of several
// processes that start at once one wins.
func makeSecret(path string) error {
	root, err := secret.Generate()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // at worst a spare copy with mode 0600 stays
	_, err = file.WriteString(root.Encode() + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file.Name(), err)
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
