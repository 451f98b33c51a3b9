package docs

import (
	"regexp"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/financelime/authorization"
)

// Swagger UI's address of an operation is #/TAG/OPERATION_ID. impl/docs unfolds the operation that a link names; test/browser clicks each.
var referenceLink = regexp.MustCompile(`\]\((#[^)\s]*)\)`)

func TestReferenceLinks(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(authorization.Spec())
	if err != nil {
		t.Fatal(err)
	}
	addresses := make(map[string]bool)
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, tag := range operation.Tags {
				addresses["#/"+tag+"/"+operation.OperationID] = true
			}
		}
	}
	links := referenceLink.FindAllStringSubmatch(string(authorization.Spec()), -1)
	if len(links) < 10 {
		t.Fatalf("%d links in openapi.yaml", len(links))
	}
	for _, link := range links {
		if !addresses[link[1]] {
			t.Errorf("openapi.yaml has a link to %s, which is no operation", link[1])
		}
	}
}
