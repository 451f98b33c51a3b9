package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// load parses the settings as the program does.
func load(t *testing.T, args ...string) (Settings, error) {
	t.Helper()
	var cli commands
	parser, err := newParser(t.Context(), &cli, console{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append(args, "version")); err != nil {
		return cli.Settings, nameVariable(parser, err)
	}
	return cli.Settings, cli.complete()
}

// setting is a field of Settings with its tags.
type setting struct {
	field     int
	env, flag string
	example   string // a valid value
	byDefault string
	kind      textKind
	fieldType reflect.Type
}

func (s setting) isText() bool { return s.fieldType.Kind() == reflect.String }
func (s setting) isList() bool { return s.fieldType.Kind() == reflect.Slice }

// value returns the value of the setting in settings.
func (s setting) value(settings Settings) any {
	return reflect.ValueOf(settings).Field(s.field).Interface()
}

// everySetting returns all settings, so that a new one is tested without a change here. (A setting without a default for which the text
// "example" is not valid needs an example.)
func everySetting(t *testing.T) []setting {
	t.Helper()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const secret = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
	examples := map[string]string{
		"AUTH_TRUSTED_PROXIES": "10.0.0.0/8", "AUTH_CORS_ORIGINS": "https://app.example.com", "AUTH_APP_URL": "https://app.example.com", "AUTH_CLIENT_IDS": "web",
		"AUTH_PASSKEY_RP_ID": "localhost", "AUTH_PASSKEY_ORIGINS": "http://localhost:8080",
		"AUTH_SECRET": secret, "AUTH_SECRET_PREVIOUS": secret, "AUTH_TOKEN_ISSUER": "https://auth.example.com", "AUTH_TOKEN_AUDIENCE": "api",
		"AUTH_SECRET_FILE": file("secret", secret), "AUTH_SECRET_PREVIOUS_FILE": file("previous", secret),
		"AUTH_DATABASE_URL_FILE": file("database", "sqlite:x.db"), "AUTH_MAIL_URL_FILE": file("mail", "file:x"),
	}
	var all []setting
	fields := reflect.TypeFor[Settings]()
	for i := range fields.NumField() {
		field := fields.Field(i)
		s := setting{
			field: i, env: field.Tag.Get("env"), flag: field.Tag.Get("name"), byDefault: field.Tag.Get("default"),
			kind: textKind(field.Tag.Get("text")), fieldType: field.Type,
		}
		if s.env == "" {
			if field.IsExported() {
				t.Errorf("%s has no environment variable", field.Name)
			}
			continue
		}
		s.example = s.byDefault
		if example, has := examples[s.env]; has {
			s.example = example
		}
		if s.example == "" {
			s.example = "example"
		}
		all = append(all, s)
	}
	return all
}

// TestSettingTags checks that every setting has the tags that --help and the validation need.
func TestSettingTags(t *testing.T) {
	t.Parallel()
	var s Settings
	for field, value := range s.fields() {
		help := field.Tag.Get("help")
		if _, isHidden := field.Tag.Lookup("hidden"); !isHidden && (help == "" || field.Tag.Get("group") == "") {
			t.Errorf("%s has no help or no group", field.Name)
		}
		if strings.HasSuffix(help, "..") {
			t.Errorf("%s: kong removes the last dot of %q", field.Name, help)
		}
		if _, hasRange := field.Tag.Lookup("range"); value.Kind() == reflect.Int64 && !hasRange {
			t.Errorf("%s has no range", field.Name)
		}
	}
}

const (
	refused   = "refused"   // the value is an error that begins with the variable's name
	unchanged = "unchanged" // the value is taken as it is
)

// oddValue is a value of a setting, and what it must become.
type oddValue struct{ name, value, want string }

// oddValues returns the values of a setting when they come from a file, a script or a form with typical mistakes.
func (s setting) oddValues() []oddValue {
	inside := func(odd string) string { return s.example[:1] + odd + s.example[1:] }
	empty := refused // an empty text does not stand for a default
	if (s.isText() || s.isList()) && s.byDefault == "" {
		empty = ""
	}
	space, unicode := refused, refused
	if s.kind.allowsSpaces() {
		space = unchanged
	}
	if s.kind.allowsUnicode() {
		unicode = unchanged
	}
	switch s.env {
	case "AUTH_MAIL_URL", "AUTH_DATABASE_URL": // the second letter is in the scheme
		inside = func(odd string) string { return s.example + odd + "x" }
	case "AUTH_SECRET_FILE", "AUTH_SECRET_PREVIOUS_FILE", "AUTH_DATABASE_URL_FILE", "AUTH_MAIL_URL_FILE":
		space, unicode = refused, refused // there is no such file
	case "AUTH_PUBLIC_URL": // the second letter is in the scheme; a host is converted to ASCII
		inside = func(odd string) string { return "http://h" + odd + "st" }
		unicode = "http://xn--hst-sna"
	case "AUTH_APP_URL": // the second letter is in the scheme; a path is percent-encoded
		inside = func(odd string) string { return s.example + "/h" + odd + "st" }
		unicode = s.example + "/h%C3%B6st"
	case "AUTH_CORS_ORIGINS", "AUTH_PASSKEY_RP_ID", "AUTH_PASSKEY_ORIGINS":
		unicode = refused // browsers send the ASCII form
	}
	return []oddValue{
		{"as it is", s.example, s.example},
		{"spaces around", "  " + s.example + " ", s.example},
		{"a tab and a line break around", "\t" + s.example + "\r\n", s.example},
		{"a carriage return after", s.example + "\r", s.example},
		{"empty", "", empty},
		{"only white space", " \t ", empty},
		{"only a line break", "\r\n", empty},
		{"double quotes around", `"` + s.example + `"`, refused},
		{"single quotes around", `'` + s.example + `'`, refused},
		{"a byte order mark before", "\ufeff" + s.example, refused},
		{"a carriage return inside", inside("\r"), refused},
		{"a line feed inside", inside("\n"), refused},
		{"a line after", s.example + "\nAUTH_HIDE_ACCOUNTS=true", refused},
		{"a tab inside", inside("\t"), refused},
		{"an escape inside", inside("\x1b"), refused},
		{"a zero-width space inside", inside("\u200b"), refused},
		{"a no-break space inside", inside("\u00a0"), refused},
		{"a right-to-left override inside", inside("\u202e"), refused},
		{"not UTF-8", inside("\xff"), refused},
		{"a space inside", inside(" "), space},
		{"a letter outside ASCII inside", inside("\u00f6"), unicode},
	}
}

// TestEverySettingWithOddText checks each setting with values that have typical mistakes: white space around a value is removed, and
// other mistakes are refused with the name of the setting. No value is silently changed to another one.
func TestEverySettingWithOddText(t *testing.T) { //nolint:paralleltest // it sets the environment
	for _, s := range everySetting(t) {
		for _, odd := range s.oddValues() {
			t.Run(s.env+"/"+odd.name, func(t *testing.T) { checkOddValue(t, s, odd) })
		}
	}
}

func checkOddValue(t *testing.T, s setting, odd oddValue) {
	t.Helper()
	t.Setenv(s.env, odd.value)
	loaded, err := load(t)
	got := s.value(loaded)
	if odd.want == refused {
		if err == nil {
			t.Fatalf("%q became %q", odd.value, got)
		}
		if !strings.HasPrefix(err.Error(), s.env) {
			t.Errorf("the error does not begin with the name: %v", err)
		}
		if strings.Contains(s.env, "SECRET") && !strings.HasSuffix(s.env, "_FILE") && strings.Contains(err.Error(), s.example[2:]) {
			t.Errorf("the error contains the secret: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := odd.want
	if want == unchanged {
		want = odd.value
	}
	t.Setenv(s.env, want)
	if want == "" {
		if err := os.Unsetenv(s.env); err != nil {
			t.Fatal(err)
		}
	}
	if plain, err := load(t); err != nil || !reflect.DeepEqual(got, s.value(plain)) {
		t.Errorf("%q became %q, not what %q becomes: %v", odd.value, got, want, err)
	}
}

// TestEveryFlagIsTrimmed checks that a flag has the same value as its variable, without the white space around it.
func TestEveryFlagIsTrimmed(t *testing.T) { //nolint:paralleltest // it sets the environment
	for _, s := range everySetting(t) {
		if s.fieldType.Kind() == reflect.Bool {
			continue // --hide-accounts has no value
		}
		for _, args := range [][]string{{"--" + s.flag + "= " + s.example + "\t"}, {"--" + s.flag, " " + s.example + " "}} {
			t.Setenv(s.env, s.example)
			want, err := load(t)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Unsetenv(s.env); err != nil {
				t.Fatal(err)
			}
			got, err := load(t, args...)
			if err != nil || !reflect.DeepEqual(s.value(got), s.value(want)) {
				t.Errorf("%q: %v", args, err)
			}
		}
	}
}

// TestSettingsInFiles checks that a byte order mark and white space around the content of a file are ignored, and that odd characters
// inside are refused.
func TestSettingsInFiles(t *testing.T) { //nolint:paralleltest // it sets the environment
	for content, good := range map[string]bool{
		"sqlite:x.db": true, "sqlite:x.db\n": true, "\ufeffsqlite:x.db\r\n": true, "  sqlite:x.db\t\n\n": true,
		"": false, "\n": false, "\ufeff": false, "sqlite:x\r.db": false, "sqlite:x.db\nsqlite:y.db\n": false, `"sqlite:x.db"`: false, "sqlite:\xff": false,
	} {
		path := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("AUTH_DATABASE_URL_FILE", path)
		s, err := load(t)
		switch {
		case good && (err != nil || s.DatabaseURL != "sqlite:x.db"):
			t.Errorf("%q: %q, %v", content, s.DatabaseURL, err)
		case !good && (err == nil || !strings.HasPrefix(err.Error(), "AUTH_DATABASE_URL_FILE")):
			t.Errorf("%q: %v", content, err)
		}
	}
}
