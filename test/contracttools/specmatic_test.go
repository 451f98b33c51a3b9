//go:build clients

package contracttools

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// beyondSpecmatic are successes that Specmatic cannot request or understand, with the reason. Dredd checks them.
var beyondSpecmatic = map[string]string{
	"confirm_user_email application/json":  "it sends `Accept: */*`, which gets the page",
	"confirm_user_email text/plain":        "it sends `Accept: */*`, which gets the page",
	"open_link application/json":           "the same",
	"open_link text/plain":                 "the same",
	"use_link application/json":            "it sends `Accept: */*`, which gets the page",
	"use_link text/plain":                  "it sends `Accept: */*`, which gets the page",
	"get_change_password application/json": "it sends `Accept: */*`, which gets the redirect",
	"get_openapi_json application/json":    "it expects all elements of an array without a schema to look like the first one",
}

// misreadPattern finds the patterns for which Specmatic generates strings that do not match them.
var misreadPattern = regexp.MustCompile(`WARNING: Please check the regex (.+)\. We generated`)

// plainText is the pattern of texts without control characters. Specmatic does not know its escapes.
const plainText = `^[^\x00-\x1f\x7f]*$`

// TestSpecmatic sends the examples of every operation with Specmatic, in each documented form of the access token, and lets it check the
// responses. Specmatic also compares the examples of openapi.yaml with its schemas.
func TestSpecmatic(t *testing.T) {
	t.Parallel()
	got, succeeded, out := specmatic(t, startDev(t).URL)
	if !succeeded {
		t.Errorf("Specmatic:\n%s", out)
	}
	for _, misread := range misreadPattern.FindAllStringSubmatch(out, -1) {
		if misread[1] != plainText {
			t.Errorf("Specmatic misreads the pattern %s", misread[1])
		}
	}
	want, _ := specmaticNames(t)
	got.check(t, want)
}

// TestSpecmaticFindsViolations checks that TestSpecmatic can fail.
func TestSpecmaticFindsViolations(t *testing.T) {
	t.Parallel()
	got, succeeded, _ := specmatic(t, startBroken(t))
	if succeeded {
		t.Error("Specmatic succeeds")
	}
	want, failing := specmaticNames(t)
	got.check(t, want, failing...)
}

func specmatic(t *testing.T, service string) (results counts, succeeded bool, output string) {
	t.Helper()
	examples, reports := t.TempDir(), t.TempDir()
	for _, op := range operations(t) {
		for _, mediaType := range op.mediaTypes {
			if beyondSpecmatic[op.OperationID+" "+mediaType] == "" && !op.beyondDev() {
				writeExample(t, examples, &op, mediaType)
			}
		}
	}
	// The environment has the tokens, under the names of the security schemes.
	environment := []string{"SPECMATIC_DISABLE_TELEMETRY=true", "bearer=" + accessToken(t), "authorization=Bearer " + accessToken(t)}
	output, succeeded = run(t, environment, "java", "-jar", absolute(t, "node_modules/specmatic/specmatic.jar"), "test",
		absolute(t, "../../openapi.yaml"), "--testBaseURL="+service, "--strict", "--timeout-in-ms=60000", "--examples="+examples, "--junitReportDir="+reports)
	files, err := filepath.Glob(filepath.Join(reports, "*.xml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d reports: %v\n%s", len(files), err, output)
	}
	return readJUnit(t, files[0], nameOfExample), succeeded, output
}

var exampleName = regexp.MustCompile(`the request from the example '([^']+)'`)

// nameOfExample returns the name of the example from the name of a test case.
func nameOfExample(testcase string) string {
	if found := exampleName.FindStringSubmatch(testcase); found != nil {
		return found[1]
	}
	return testcase
}

// exampleFile returns the name of the example of a success, without the extension.
func exampleFile(op *operation, mediaType string) string {
	return strings.TrimSuffix(op.OperationID+"."+strings.ReplaceAll(mediaType, "/", "-"), ".")
}

// specmaticNames returns the names of the examples, with the number of requests for each; and the names of those of broken operations.
func specmaticNames(t *testing.T) (all map[string]int, failing []string) {
	t.Helper()
	all = make(map[string]int)
	beyond := 0
	for _, op := range operations(t) {
		if op.beyondDev() {
			continue
		}
		for _, mediaType := range op.mediaTypes {
			if beyondSpecmatic[op.OperationID+" "+mediaType] != "" {
				beyond++
				continue
			}
			name := exampleFile(&op, mediaType)
			all[name] = max(1, op.accessTokens)
			if _, is := broken[op.OperationID]; is {
				failing = append(failing, name)
			}
		}
	}
	if beyond != len(beyondSpecmatic) {
		t.Error("beyondSpecmatic has a success that openapi.yaml does not have")
	}
	return all, failing
}

// writeExample writes the examples of an operation in the format of Specmatic, which does not use those in the schemas of openapi.yaml.
func writeExample(t *testing.T, dir string, op *operation, mediaType string) {
	t.Helper()
	query, header := make(map[string]any), make(map[string]any)
	for _, ref := range op.Parameters {
		switch p := ref.Value; p.In {
		case openapi3.ParameterInQuery:
			query[p.Name] = p.Example
		case openapi3.ParameterInHeader:
			header[p.Name] = p.Example
		}
	}
	request := map[string]any{"method": op.method, "path": op.examplePath(mediaType), "query": query, "headers": header}
	if op.RequestBody != nil {
		request["body"] = op.RequestBody.Value.Content["application/json"].Schema.Value.Example
		header["Content-Type"] = "application/json" // otherwise the example must also fit a form
	}
	responseHeader := make(map[string]any)
	for name, h := range op.response.Headers {
		responseHeader[name] = h.Value.Schema.Value.Example
	}
	response := map[string]any{"status": json.Number(op.success), "headers": responseHeader}
	if mediaType != "" {
		responseHeader["Content-Type"] = mediaType
		response["body"] = op.response.Content[mediaType].Schema.Value.Example
	}
	content, err := json.Marshal(map[string]any{"http-request": request, "http-response": response})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, exampleFile(op, mediaType)+".json"), content, 0o600); err != nil {
		t.Fatal(err)
	}
}
