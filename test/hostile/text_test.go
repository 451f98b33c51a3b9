package hostile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// hostileTexts are well-formed strings with a meaning for databases, shells, templates, logs, mails or pages.
var hostileTexts = []string{
	// SQL and NoSQL, for both engines and their drivers (pgx's simple protocol: CVE-2024-27289, CVE-2026-41889)
	"' OR 1=1--canary", `" OR ""="`, "'; DROP TABLE account;--canary", "1;--", "admin'--", "') OR ('1'='1", "' UNION SELECT password_hash FROM account--",
	"$$canary$$", "$1", "$1'", "-$1", "$tag$x$tag$", ":p1", "?", "?1", "@p", "%", "_%", `\`, `\'`, `\' OR 1=1--`, "';SELECT pg_sleep(10)--", "x' AND randomblob(1000000000)--",
	"/*", "*/", "--", "\u02bc OR 1=1", "\uff07 OR 1=1--", "0x27", "CHAR(39)", "{\"$gt\":\"\"}", "[$ne]", "NULL", "null", "undefined", "NaN", "true", "0", "-1", "1e9",
	// shells, paths, templates, protocols
	"`id`", "$(id)", "| id", "; id", "&& id", "../../../etc/passwd", `..\..\x`, "file:///etc/passwd", "http://127.0.0.1:1/canary", "{{.}}", "{{7*7}}", "${7*7}", "<%= 7 %>", "#{7}",
	"${jndi:ldap://127.0.0.1/canary}", "%s%n%p", "%00", "%0d%0acanary", "&lt;", "<script>canary</script>", "<img src=x onerror=alert(1)>", "javascript:1", "=1+1", "@SUM(1)",
	// control characters, text direction, unusual Unicode
	"a\r\nBcc: canary@example.com", "a\ncanary", "a\rb", "a\tb", "\x1b[31mcanary", "\x07", "\x7f", "\u0085", "\u2028", "\u202ecanary", "\u200b", "\ufeff", "\ufffd", "\ufffe",
	"\U0010ffff", "\ud7ff", "\ue000", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301", "\u212a", "\u0130", "\u1e9e", "\ufb03", "Z\u0351\u036b\u0343",
	// lengths
	" ", "  canary  ", "a", strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", 256),
	strings.Repeat("a", 257), strings.Repeat("\U0001f600", 256), strings.Repeat("\U0001f600", 257), strings.Repeat("a", 2048), strings.Repeat("a", 2049), strings.Repeat("a", 15000),
	"a" + strings.Repeat("\u0301", 7000), strings.Repeat(".", 15000), strings.Repeat("@", 15000), strings.Repeat("(", 15000), strings.Repeat(`\"`, 7000), "",
}

// textAttacks returns hostile texts for every string field.
func textAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	if op.body == nil {
		return nil
	}
	var all []attack
	for _, field := range op.fields() {
		property := op.body.Properties[field].Value
		for i, text := range hostileTexts {
			switch {
			case field == "password" && !full && i%3 != 0: // each needs a password hash
			case property.Type.Is("string"):
				all = append(all, op.withField(t, fmt.Sprintf("%.40q", text), field, quoted(t, text)))
			case property.Type.Is("object"): // in all of its strings at the same time
				all = append(all, op.withField(t, fmt.Sprintf("full of %.40q", text), field, objectOf(t, op, field, text)))
			}
		}
	}
	return all
}

// objectOf returns the JSON of an object field with the same text in all of its strings.
func objectOf(t *testing.T, op operation, field, text string) string {
	t.Helper()
	schema := op.body.Properties[field].Value
	v := values{}
	for name, property := range schema.Properties {
		if property.Value.Type.Is("string") {
			v[name] = text
		}
	}
	return object(t, schema, v, nil, "")
}

// invalidAddresses are not e-mail addresses that the service supports. None may become a recipient, a header, a route or an account.
var invalidAddresses = []string{
	"a@b.com,c@d.com", "a@b.com;c@d.com", "a@b.com c@d.com", `["a@b.com","c@d.com"]`, "Foo <a@b.com>", "<a@b.com>", "mailto:a@b.com", "a@b.com (x)", "a(x)@b.com",
	`"a b"@b.com`, `"a"@b.com`, `"x@evil.com x"@internal.domain`, `"a\"b"@c.d`, `a\b@c.de`, "a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "a@0x7f.0x1", "a@2130706433", "a@b", "a@localhost",
	"a@b.com:25", "a@b.com\r\nBcc:x@y.z", "a@b.com\n", "a\n@b.com", "a\r@b.com", "a%0d%0a@b.com", "a@b.com%0d%0a", "a\u2028@b.com", "a@b.com\u2028", "a\u0085@b.com", "a@b.com\u0085",
	"a@b.com>\r\nRCPT TO:<x>", "a@b.com> SIZE=1", "a@b.com> ORCPT=rfc822;x@y.z", "a@b@c.com", "a@b.com@", "a@b\uff20c.com", ".a@b.com", "a..b@c.com", "a.@b.com", ".@b.com",
	strings.Repeat("l", 65) + "@b.com", "a@" + strings.Repeat("d", 64) + ".com", "a@" + strings.Repeat("d.", 126) + "com", "a@" + strings.Repeat("b", 15000) + ".com",
	strings.Repeat("(x)", 4000) + "a@b.com", strings.Repeat(`"`, 4000) + "@b.com", "=?utf-8?q?a=0d=0a?=@b.com", "a!b@c.com", "a%b@c.com", "@a.com:b@c.com", " a@b.com", "a@b.com ", "a @ b.com", "a@b.com\t",
	"\u00a0a@b.com", "a@b.com\u00a0", "a\u200b@b.com", "\ufeffa@b.com", "a\x7f@b.com", "-oQ/tmp@x.com", "a@-x.com", "a\u760d\u760ab@c.com", "a@b.com.", "a@.b.com", "a@b..com", "a@b.com\u3002",
	"a@xn--example-.com", "a@xn--.com", "a@ab--cd.com", "{{.}}@b.com", "a@{{.}}.com", "`id`@b.com", "|id@b.com", "${x}@b.com", "a^b@c.com", "a@b_c.com", "a@b-.com", "a@b\ufffd.com", "a@b\ue000.com",
	"m\u0130ke@mike.com", "m\u0131ke@mike.com", "\u212aelvin@mike.com", "\u017fam@mike.com", "stra\u00dfe@mike.com", "\uff41@b.com", "a\uff20b.com", "\u00e9@b.com", "e\u0301@b.com", "p\u0430ul@b.com",
	"\u03c3@b.com", "a\u200db@b.com", "a@b\u200dc.com", "a@b\u200cc.com", "a\u202eb@c.com", "a@b\u202ec.com", "a@\u05d0b.com", "a@\u0301b.com", "a@b" + strings.Repeat("\u0301", 7000) + ".com",
	"a@b\U0003ffff.com", "\U0001f600@b.com", "@b.com", "a@", "@", "a.b.com",
}

// addressAttacks returns invalid addresses for operations with an e-mail address.
func addressAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	i := slices.IndexFunc(op.fields(), func(field string) bool { return field == "email" || field == "newEmail" })
	if i < 0 {
		return nil
	}
	field := op.fields()[i]
	var all []attack
	for _, bad := range invalidAddresses {
		all = append(all,
			op.withField(t, fmt.Sprintf("%.60q", bad), field, quoted(t, bad), 400),
			// And together with the address of an active user.
			attack{name: fmt.Sprintf("%s is a valid one and %.60q", field, bad), want: []int{400}, request: func(env *environment) request {
				r := op.request(t, op.valuesFor(env, field))
				r.body = op.json(t, op.valuesFor(env, field), map[string]string{field: quoted(t, env.email+","+bad)})
				return r
			}},
		)
	}
	return all
}
