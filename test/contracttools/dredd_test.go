//go:build clients

package contracttools

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestDredd sends the examples of every operation with Dredd, once for each media type of its request and its success, and lets it check the responses.
func TestDredd(t *testing.T) {
	t.Parallel()
	got, succeeded, out := dredd(t, startDev(t).URL)
	if !succeeded {
		t.Errorf("Dredd:\n%s", out)
	}
	want, _ := dreddNames(t)
	got.check(t, want)
}

// TestDreddFindsViolations checks that TestDredd can fail.
func TestDreddFindsViolations(t *testing.T) {
	t.Parallel()
	got, succeeded, _ := dredd(t, startBroken(t))
	if succeeded {
		t.Error("Dredd succeeds")
	}
	want, failing := dreddNames(t)
	got.check(t, want, failing...)
}

func dredd(t *testing.T, service string) (results counts, succeeded bool, output string) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.xml")
	var beyond []string
	for _, op := range operations(t) {
		if op.beyondDev() {
			beyond = append(beyond, op.method+" "+op.path)
		}
	}
	output, succeeded = run(t, []string{"BEYOND_DEV=" + strings.Join(beyond, ",")}, "node", absolute(t, "node_modules/dredd/bin/dredd"), absolute(t, "../../openapi.yaml"), service,
		"--header=Authorization: Bearer "+accessToken(t), "--hookfiles="+absolute(t, "dredd-hooks.js"),
		"--reporter=xunit", "--output="+report)
	return readJUnit(t, report, func(testcase string) string { return testcase }), succeeded, output
}

// dreddNames returns Dredd's names of the transactions with successes, with the number of transactions of this name; and the names of those
// of broken operations.
func dreddNames(t *testing.T) (all map[string]int, failing []string) {
	t.Helper()
	all = make(map[string]int)
	for _, op := range operations(t) {
		if op.beyondDev() {
			continue
		}
		query := url.Values{}
		for _, ref := range op.Parameters {
			if p := ref.Value; p.In == openapi3.ParameterInQuery {
				query.Set(p.Name, p.Example.(string))
			}
		}
		name := strings.TrimSuffix(op.method+" ("+op.success+") "+op.examplePath("")+"?"+query.Encode(), "?")
		all[name] = len(op.mediaTypes)
		if op.RequestBody != nil {
			all[name] *= len(op.RequestBody.Value.Content)
		}
		if _, is := broken[op.OperationID]; is {
			failing = append(failing, name)
		}
	}
	return all, failing
}
