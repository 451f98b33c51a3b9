//go:build clients

package contracttools

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/financelime/authorization/test/harness"
)

// TestPostman converts openapi.yaml into a collection of Postman with the examples as requests, and runs it with Newman.
func TestPostman(t *testing.T) {
	t.Parallel()
	want, _ := postmanNames(t)
	postman(t, startDev(t).URL).check(t, want)
}

// TestPostmanFindsViolations checks that TestPostman can fail. A collection from openapi.yaml checks nothing but the status.
func TestPostmanFindsViolations(t *testing.T) {
	t.Parallel()
	want, failing := postmanNames(t)
	postman(t, startBroken(t)).check(t, want, failing...)
}

// postmanNames returns the names of the requests, each of which is sent once; and the names of those of operations with a broken status.
func postmanNames(t *testing.T) (all map[string]int, failing []string) {
	t.Helper()
	all = make(map[string]int)
	for _, op := range operations(t) {
		all[op.Summary] = 1
		if b, is := broken[op.OperationID]; is && !b.onlyContent {
			failing = append(failing, op.Summary)
		}
	}
	return all, failing
}

func postman(t *testing.T, service string) counts {
	t.Helper()
	dir := t.TempDir()
	collection, report := filepath.Join(dir, "collection.json"), filepath.Join(dir, "report.json")
	if out, ok := run(t, nil, "node", absolute(t, "node_modules/openapi-to-postmanv2/bin/openapi2postmanv2.js"),
		"--spec="+absolute(t, "../../openapi.yaml"), "--output="+collection, "--options=parametersResolution=Example"); !ok {
		t.Fatalf("openapi2postmanv2:\n%s", out)
	}
	if out, ok := run(t, nil, "node", absolute(t, "node_modules/newman/bin/newman.js"), "run", collection,
		"--ignore-redirects", "--env-var=baseUrl="+service, "--env-var=bearerToken="+accessToken(t), "--reporters=json", "--reporter-json-export="+report); !ok {
		t.Fatalf("newman:\n%s", out)
	}
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Run struct {
			Executions []struct {
				Item     struct{ Name string }
				Response struct{ Code json.Number }
			}
		}
	}
	if err := json.Unmarshal(content, &result); err != nil {
		t.Fatal(err)
	}
	documented := make(map[string][]string)
	for _, op := range operations(t) {
		documented[op.Summary] = []string{op.success}
		if op.beyondDev() {
			documented[op.Summary] = nil
			for _, status := range harness.BeyondDev[op.OperationID].Statuses {
				documented[op.Summary] = append(documented[op.Summary], fmt.Sprint(status))
			}
		}
	}
	found := make(counts)
	for _, e := range result.Run.Executions {
		found.add(e.Item.Name, slices.Contains(documented[e.Item.Name], e.Response.Code.String()))
	}
	return found
}
