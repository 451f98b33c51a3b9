package contract

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// keyRow is a row of `keys list --json`.
type keyRow struct {
	KID        string     `json:"kid"`
	Number     int        `json:"number"`
	Algorithm  string     `json:"algorithm"`
	State      string     `json:"state"`
	Created    time.Time  `json:"created"`
	ActiveFrom time.Time  `json:"activeFrom"`
	RetiresAt  *time.Time `json:"retiresAt"`
}

func keysOf(t *testing.T, s *harness.Service) []keyRow {
	t.Helper()
	out, err := s.Command(t.Context(), "keys", "list", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []keyRow
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return rows
}

// publishedKeys returns the key IDs in the JWKS of a service.
func publishedKeys(t *testing.T, s *harness.Service) []string {
	t.Helper()
	response, body := send(t, s, http.MethodGet, "/.well-known/jwks.json", nil, "")
	wantStatus(t, "jwks", response.StatusCode, 200)
	var ids []string
	for _, m := range regexp.MustCompile(`"kid":"([^"]+)"`).FindAllStringSubmatch(body, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// TestKeysCommands rotates a key and removes a leaked one while the service runs, without a restart and without logging
// anyone out. The periods are seconds here; otherwise the command for a leaked key waits 15 s.
func TestKeysCommands(t *testing.T) {
	t.Parallel()
	harness.EachEngine(t, func(t *testing.T, engine string) {
		s := harness.Start(t, binary, contract, engine, "AUTH_JWKS_MAX_AGE=3s", "AUTH_SIGNING_KEY_LIFE=24h")
		p := newPerson(t, s).join(s.Invite(t, 1))
		p.login()
		first := keysOf(t, s)
		if len(first) != 1 || first[0].State != "signing" || first[0].Number != 1 || first[0].Algorithm != "ES256" || first[0].RetiresAt != nil ||
			first[0].KID != publishedKeys(t, s)[0] || time.Since(first[0].Created) > time.Hour {
			t.Errorf("the first key: %+v", first)
		}

		// Several at the same time create one key.
		var rotating sync.WaitGroup
		for range 3 {
			rotating.Go(func() {
				if out, err := s.Command(t.Context(), "keys", "rotate"); err != nil || !strings.Contains(out, "signs from 20") {
					t.Errorf("%s: %v", out, err)
				}
			})
		}
		rotating.Wait()
		two := keysOf(t, s)
		if len(two) != 2 || two[0].RetiresAt == nil || !two[0].RetiresAt.After(two[1].ActiveFrom.Add(10*time.Minute)) || two[1].Number != 2 {
			t.Fatalf("after three rotations at the same time: %+v", two)
		}
		eventually(t, "the next key is published", func() bool { return len(publishedKeys(t, s)) == 2 })
		eventually(t, "the next key signs", func() bool {
			p.refresh()
			return kidOf(t, p.session.AccessToken) == two[1].KID
		})
		list, err := s.Command(t.Context(), "keys", "list")
		if err != nil || !regexp.MustCompile(two[0].KID+` .*verifying`).MatchString(list) || !regexp.MustCompile(two[1].KID+` .*signing`).MatchString(list) {
			t.Errorf("%v\n%s", err, list)
		}
		p.sessions()

		// Both keys leaked.
		leaked := p.session.AccessToken
		out, err := s.Command(t.Context(), "keys", "rotate", "--now")
		if err != nil || !strings.Contains(out, "signs now, 2 old keys deleted") {
			t.Fatalf("%s: %v", out, err)
		}
		last := keysOf(t, s)
		if len(last) != 1 || last[0].Number != 3 || last[0].State != "signing" {
			t.Errorf("after the leak: %+v", last)
		}
		eventually(t, "the leaked keys are not published any more", func() bool { return len(publishedKeys(t, s)) == 1 })
		header := http.Header{"Request-Id": {rid()}, "Authorization": {leaked}}
		response, _ := send(t, s, http.MethodGet, "/v1/session/list", header, "")
		wantStatus(t, "a token of a leaked key", response.StatusCode, 401)
		p.refresh()
		p.sessions()
		if kidOf(t, p.session.AccessToken) != last[0].KID {
			t.Error("another key signs")
		}
		var row keyRow
		out, err = s.Command(t.Context(), "keys", "rotate", "--json")
		if err := json.Unmarshal([]byte(out), &row); err != nil || row.State != "published" || row.Number != 4 {
			t.Errorf("%s: %v", out, err)
		}
		if err != nil {
			t.Error(err)
		}
	})
}
