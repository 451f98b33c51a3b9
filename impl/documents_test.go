package impl

import (
	"strings"
	"testing"
)

// The response is 304 if the document's ETag is in the header. A malformed header only causes a full response.
func FuzzIfNoneMatch(f *testing.F) {
	const tag = `"abc_-1"`
	for _, seed := range []string{tag, "W/" + tag, "*", `"x", ` + tag, `"abc"`, "", ",", `abc_-1`, "W/W/" + tag, `"abc_-1`, " * "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		d := document{etag: tag, body: []byte("x")}
		if d.respond(&header).notModified && !strings.Contains(header, tag) && !strings.Contains(header, "*") {
			t.Fatalf("%q: not modified", header)
		}
		for _, more := range []string{header + "," + tag, tag + "," + header, header + ", W/" + tag} {
			if !d.respond(&more).notModified {
				t.Fatalf("%q: a full response", more)
			}
		}
		if d.respond(nil).notModified {
			t.Fatal("not modified without a header")
		}
	})
}
