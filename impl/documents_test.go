package impl

import (
	"strings"
	"testing"
)

// A copy is good if its tag is among those that the client has; a header of another form only costs an answer in full.
func FuzzIfNoneMatch(f *testing.F) {
	const tag = `"abc_-1"`
	for _, seed := range []string{tag, "W/" + tag, "*", `"x", ` + tag, `"abc"`, "", ",", `abc_-1`, "W/W/" + tag, `"abc_-1`, " * "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		d := document{etag: tag, body: []byte("x")}
		known := d.asked(&header).notModified
		if known && !strings.Contains(header, tag) && !strings.Contains(header, "*") {
			t.Fatalf("%q has a copy", header)
		}
		for _, more := range []string{header + "," + tag, tag + "," + header, header + ", W/" + tag} {
			if !d.asked(&more).notModified {
				t.Fatalf("%q has no copy", more)
			}
		}
		if d.asked(nil).notModified {
			t.Fatal("nobody asked")
		}
	})
}
