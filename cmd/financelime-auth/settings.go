package main

import (
	"iter"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/financelime/authorization/impl/limit"
	"github.com/financelime/authorization/impl/passkey"
	"github.com/financelime/authorization/impl/token"
)

// Settings are all settings of the service and of its commands. To add one:
//
//  1. Add a field here. Its tags define it: env and name (the environment variable and the flag), group (the section of --help), help,
//     default, and as needed enum (the allowed values), range (the smallest and the greatest number or duration) and text (which
//     characters a text can have besides printable ASCII: see textKind). Numbers and durations must have a range.
//  2. Add it to the table in README.md.
//  3. Use the field, for example in serve.go, and test its effect in TestSettings of test/contract.
//
// --help, validation and the tests of odd values use the tags, and TestREADMESettings compares the table with --help. A setting that needs more validation than its tags has a check function in the
// list of complete (settings_check.go). A setting with a secret has a second field for a file: the same names, with _FILE and -file.
type Settings struct {
	HTTPAddr      string        `group:"Addresses" name:"http-addr" env:"AUTH_HTTP_ADDR" default:":8080" help:"Address of the API."`
	AdminAddr     string        `group:"Addresses" name:"admin-addr" env:"AUTH_ADMIN_ADDR" default:"127.0.0.1:8081" help:"Address of health checks, metrics and the local mailbox. Never make it public."`
	PublicURL     string        `group:"Addresses" name:"public-url" text:"unicode" env:"AUTH_PUBLIC_URL" default:"http://localhost:8080" help:"Base URL of the links in emails, and the default issuer of tokens. Changing it ends all sessions, unless --token-issuer is set to the old value."`
	AppURL        string        `group:"Addresses" name:"app-url" text:"unicode" env:"AUTH_APP_URL" help:"URL of the app in which users log in. The pages that mailed links open, and emails with a password, have a button to it. Default: none."`
	Proxies       []string      `group:"Addresses" name:"trusted-proxies" env:"AUTH_TRUSTED_PROXIES" help:"Networks (10.0.0.0/8) or addresses of gateways whose X-Forwarded-For header is trusted. Default: none."`
	CORSOrigins   []string      `group:"Addresses" name:"cors-origins" text:"unicode" env:"AUTH_CORS_ORIGINS" help:"Origins (https://app.example.com) whose pages may call the API from a browser. Default: none."`
	ShutdownDelay time.Duration `group:"Addresses" name:"shutdown-delay" env:"AUTH_SHUTDOWN_DELAY" default:"1s" range:"0s..10m" help:"How long to accept requests after SIGTERM, while /readyz reports that the service is stopping. Requests in progress then get 25s."`

	DatabaseURL     string `group:"Storage" name:"database-url" text:"any" env:"AUTH_DATABASE_URL" default:"sqlite:data/auth.db" help:"sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME."`
	DatabaseURLFile string `group:"Storage" name:"database-url-file" text:"any" env:"AUTH_DATABASE_URL_FILE" help:"File that contains the database URL."`
	Secret          string `group:"Storage" name:"secret" env:"AUTH_SECRET" help:"32 random bytes in base64. All keys are derived from them. With SQLite they are created on the first start, in the file named secret beside the database. With PostgreSQL they are required."`
	SecretFile      string `group:"Storage" name:"secret-file" text:"any" env:"AUTH_SECRET_FILE" help:"File that contains the secret."`

	SecretPrevious     string `group:"Storage" name:"secret-previous" env:"AUTH_SECRET_PREVIOUS" help:"A second secret that is also accepted, while the secret is being changed: docs/keys.md."`
	SecretPreviousFile string `group:"Storage" name:"secret-previous-file" text:"any" env:"AUTH_SECRET_PREVIOUS_FILE" help:"File that contains the second secret."`

	MailURL     string        `group:"Mail" name:"mail-url" text:"any" env:"AUTH_MAIL_URL" default:"file:data/mail" help:"smtp://USER:PASSWORD@HOST:587, smtps://USER:PASSWORD@HOST:465, or file:DIRECTORY for a mailbox on the admin port."`
	MailURLFile string        `group:"Mail" name:"mail-url-file" text:"any" env:"AUTH_MAIL_URL_FILE" help:"File that contains the mail URL."`
	MailFrom    string        `group:"Mail" name:"mail-from" text:"any" env:"AUTH_MAIL_FROM" default:"Financelime <no-reply@financelime.com>" help:"Sender of the emails."`
	MailTimeout time.Duration `group:"Mail" name:"mail-timeout" env:"AUTH_MAIL_TIMEOUT" default:"30s" range:"100ms..10m" help:"Time limit for each step of an SMTP session."`

	InviteRequired    bool          `group:"Accounts" name:"invite-code-required" env:"AUTH_INVITE_CODE_REQUIRED" default:"true" negatable:"" help:"Require an invite code for sign-up."`
	SignUpLinkTTL     time.Duration `group:"Accounts" name:"signup-link-ttl" env:"AUTH_SIGNUP_LINK_TTL" default:"24h" range:"1s..30d" help:"How long a confirmation link and its sign-up are valid."`
	PasswordLinkTTL   time.Duration `group:"Accounts" name:"password-link-ttl" env:"AUTH_PASSWORD_LINK_TTL" default:"30m" range:"1s..24h" help:"How long a password reset link is valid."` // at most 24 h: NIST SP 800-63B-4 section 4.2.1.2
	MailedPasswordTTL time.Duration `group:"Accounts" name:"mailed-password-ttl" env:"AUTH_MAILED_PASSWORD_TTL" default:"24h" range:"1s..30d" help:"How long a mailed password is valid before its first use."`
	HideAccounts      bool          `group:"Accounts" name:"hide-accounts" env:"AUTH_HIDE_ACCOUNTS" default:"false" negatable:"" help:"Give the same response to sign-up and reset whether or not the account exists: docs/accounts.md."`
	LoginNotice       string        `group:"Accounts" name:"login-notice" env:"AUTH_LOGIN_NOTICE" default:"new-device" enum:"new-device,always,never" help:"When to email a login notice: new-device, always or never."`
	SessionsPerUser   int64         `group:"Accounts" name:"sessions-per-user" env:"AUTH_SESSIONS_PER_USER" default:"100" range:"1..10000" help:"How many sessions a user can have. Another login ends the least recently refreshed one."`
	PasswordMinLength int64         `group:"Accounts" name:"password-min-length" env:"AUTH_PASSWORD_MIN_LENGTH" default:"15" range:"8..64" help:"Minimum length of a password that a user chooses, in characters. Below 15, NIST SP 800-63B-4 requires a second factor."`
	PasswordBlocklist string        `group:"Accounts" name:"password-blocklist" text:"any" env:"AUTH_PASSWORD_BLOCKLIST" help:"File with passwords that users cannot choose, beside the built-in list. The command password-list build creates it. Default: none."`
	DeletionGrace     time.Duration `group:"Accounts" name:"deletion-grace" env:"AUTH_DELETION_GRACE" default:"168h" range:"0s..90d" help:"How long users can undo the deletion of their account. 0: it is deleted immediately."`
	PasskeyRPID       string        `group:"Accounts" name:"passkey-rp-id" env:"AUTH_PASSKEY_RP_ID" help:"Domain of the passkeys: the host of the public URL or a parent domain. After a change, no older passkey works. Default: the host of the public URL; none if that is an IP address, or has no dot and is not localhost."`
	PasskeyOrigins    []string      `group:"Accounts" name:"passkey-origins" env:"AUTH_PASSKEY_ORIGINS" help:"Origins (https://app.example.com, android:apk-key-hash:...) whose pages and apps may use passkeys. Default: that of the public URL."`
	ClientIDs         []string      `group:"Accounts" name:"client-ids" text:"spaces" env:"AUTH_CLIENT_IDS" help:"The clientIDs that may log in. Default: all."`

	Limits        string     `group:"Limits" name:"limits" env:"AUTH_LIMITS" default:"on" enum:"on,off" help:"Rate limits. Use off only if a gateway enforces them."`
	LoginAccount  limit.Rate `group:"Limits" name:"limit-login-account" env:"AUTH_LIMIT_LOGIN_ACCOUNT" default:"10/1m" help:"Failed logins of one account. After that, each failure doubles the delay."`
	LoginSource   limit.Rate `group:"Limits" name:"limit-login-source" env:"AUTH_LIMIT_LOGIN_SOURCE" default:"100/10m" help:"Failed logins from one client IP (an IPv4 address or an IPv6 /64)."`
	MailAddress   limit.Rate `group:"Limits" name:"limit-mail-address" env:"AUTH_LIMIT_MAIL_ADDRESS" default:"6/1h" help:"Emails with links to one address."`
	SignUpSource  limit.Rate `group:"Limits" name:"limit-signup-source" env:"AUTH_LIMIT_SIGNUP_SOURCE" default:"60/1h" help:"Sign-ups from one client IP."`
	ResetSource   limit.Rate `group:"Limits" name:"limit-reset-source" env:"AUTH_LIMIT_RESET_SOURCE" default:"60/1h" help:"Password resets requested from one client IP."`
	InviteSource  limit.Rate `group:"Limits" name:"limit-invite-source" env:"AUTH_LIMIT_INVITE_SOURCE" default:"20/1h" help:"Unknown invite codes from one client IP."`
	LinkSource    limit.Rate `group:"Limits" name:"limit-link-source" env:"AUTH_LIMIT_LINK_SOURCE" default:"20/1h" help:"Opened links that the service never created, from one client IP."`
	EmailAccount  limit.Rate `group:"Limits" name:"limit-email-account" env:"AUTH_LIMIT_EMAIL_ACCOUNT" default:"5/24h" help:"Requested changes of the email address of one account."`
	ExportAccount limit.Rate `group:"Limits" name:"limit-export-account" env:"AUTH_LIMIT_EXPORT_ACCOUNT" default:"5/24h" help:"Exports of the data of one account."`

	AccessTTL     time.Duration `group:"Tokens" name:"access-token-ttl" env:"AUTH_ACCESS_TOKEN_TTL" default:"10m" range:"1s..24h" help:"How long an access token is valid."`
	RefreshTTL    time.Duration `group:"Tokens" name:"refresh-token-ttl" env:"AUTH_REFRESH_TOKEN_TTL" default:"720h" range:"1s..3650d" help:"How long a session lasts without a refresh."`
	SessionMaxAge time.Duration `group:"Tokens" name:"session-max-age" env:"AUTH_SESSION_MAX_AGE" default:"4320h" range:"1s..3650d" help:"How long a session can last, however often it is refreshed."`
	RefreshGrace  time.Duration `group:"Tokens" name:"refresh-grace" env:"AUTH_REFRESH_GRACE" default:"2m" range:"0s..5m" help:"How long a used refresh token returns the same successor again, for clients that lost the response. At most 5m."`
	Issuer        string        `group:"Tokens" name:"token-issuer" env:"AUTH_TOKEN_ISSUER" help:"The iss claim of tokens. Default: the public URL."`
	Audience      string        `group:"Tokens" name:"token-audience" env:"AUTH_TOKEN_AUDIENCE" help:"The aud claim of access tokens. Default: the issuer."`
	SigningAlg    string        `group:"Tokens" name:"signing-alg" env:"AUTH_SIGNING_ALG" default:"ES256" enum:"ES256,RS256,EdDSA" help:"Signature algorithm of access tokens: ES256, RS256 or EdDSA."`

	// Hidden, because the defaults suit every installation. Tests set them to watch a key rotation within seconds.
	KeyLife    time.Duration `hidden:"" name:"signing-key-life" env:"AUTH_SIGNING_KEY_LIFE" default:"720h" range:"1s..3650d"`
	JWKSMaxAge time.Duration `hidden:"" name:"jwks-max-age" env:"AUTH_JWKS_MAX_AGE" default:"5m" range:"1s..24h"`

	// How long a request waits for a hashing slot before it gets 503. Hidden: only tests under the race detector, where a hash takes
	// seconds, need more.
	HashWait time.Duration `hidden:"" name:"hash-wait" env:"AUTH_HASH_WAIT" default:"1s" range:"1ms..1h"`

	Dev       bool `group:"Development" name:"dev" env:"AUTH_DEV" default:"false" negatable:"" help:"A service to develop against: docs/development.md. The examples of openapi.yaml work, pages from http://localhost may call it, and its data is in ./data/dev. Never for real users."`
	DevExpose bool `group:"Development" name:"dev-expose" env:"AUTH_DEV_EXPOSE" default:"false" negatable:"" help:"With --dev, allow addresses that other machines can reach, for containers."`

	Operator string `group:"Log" name:"operator" text:"any" env:"AUTH_OPERATOR" help:"Who runs a command, for audit events. Default: the user of the operating system."`

	LogFormat string `group:"Log" name:"log-format" env:"AUTH_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"text, json, or auto (text on a terminal, otherwise json)."`
	LogLevel  string `group:"Log" name:"log-level" env:"AUTH_LOG_LEVEL" default:"info" enum:"debug,info,warn,error" help:"Lowest level that is logged: debug, info, warn or error."`

	trustedProxies   []netip.Prefix
	passkeys         passkey.Config // without the name
	mailURLSet       bool           // whether AUTH_MAIL_URL was set, even to its default
	unknownVariables []unknownVariable
	given            map[string]bool // by environment variable: whether the setting was given, by it or by its flag
}

// AfterApply records which settings were given. The parser calls it.
func (s *Settings) AfterApply(command *kong.Context) error { //nolint:unparam // kong's interface
	s.given = make(map[string]bool)
	for field := range s.fields() {
		env := field.Tag.Get("env")
		if _, set := os.LookupEnv(env); set {
			s.given[env] = true
		}
	}
	for _, p := range command.Path {
		if p.Flag != nil && len(p.Flag.Envs) > 0 {
			s.given[p.Flag.Envs[0]] = true
		}
	}
	return nil
}

// fields returns the fields that are settings, with their values.
func (s *Settings) fields() iter.Seq2[reflect.StructField, reflect.Value] {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		values := reflect.ValueOf(s).Elem()
		for i := range values.NumField() {
			if field := values.Type().Field(i); field.Tag.Get("env") != "" && !yield(field, values.Field(i)) {
				return
			}
		}
	}
}

// https reports whether clients reach the service by https.
func (s *Settings) https() bool { return strings.HasPrefix(s.PublicURL, "https:") }

// publicHost returns the host of the public URL, without the port.
func (s *Settings) publicHost() string {
	public, err := url.Parse(s.PublicURL)
	if err != nil {
		return "" // impossible: checkURLs has accepted it
	}
	return public.Hostname()
}

// limits returns the rates of the limits; none if the limits are off.
func (s *Settings) limits() map[limit.Name]limit.Rate {
	if s.Limits == "off" {
		return nil
	}
	return map[limit.Name]limit.Rate{
		limit.LoginAccount: s.LoginAccount, limit.LoginSource: s.LoginSource, limit.MailAddress: s.MailAddress,
		limit.SignUpSource: s.SignUpSource, limit.ResetSource: s.ResetSource,
		limit.InviteSource: s.InviteSource, limit.LinkSource: s.LinkSource,
		limit.EmailAccount: s.EmailAccount, limit.ExportAccount: s.ExportAccount,
	}
}

// sqlitePath returns the path of the SQLite database file, or "" with PostgreSQL.
func (s *Settings) sqlitePath() string {
	path, isSQLite := strings.CutPrefix(s.DatabaseURL, "sqlite:")
	if !isSQLite {
		return ""
	}
	path, _, _ = strings.Cut(path, "?")
	return path
}

// tokens returns the settings of the tokens and of their signing keys.
func (s *Settings) tokens() token.Config {
	return token.Config{
		Issuer: s.Issuer, Audience: s.Audience, Algorithm: s.SigningAlg, AccessTTL: s.AccessTTL, RefreshTTL: s.RefreshTTL,
		KeyLife: s.KeyLife, JWKSMaxAge: s.JWKSMaxAge,
	}
}
