package contract

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// patience is longer than the time after which the service disconnects a slow client: 5 s for the header, 15 s for the whole request.
const patience = 40 * time.Second

// dialogue sends raw bytes and reads the statuses of all responses until the service closes the connection. A refusal has the
// same body and headers as every other.
func dialogue(t *testing.T, s *harness.Service, raw string) (statuses []int, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, raw); err != nil {
		return nil, true
	}
	answers := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			return statuses, !errors.Is(err, io.ErrNoProgress) && !isTimeout(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return statuses, !isTimeout(err)
		}
		if response.StatusCode >= 400 {
			wantRefusal(t, response, body)
		}
		statuses = append(statuses, response.StatusCode)
	}
}

func wantRefusal(t *testing.T, response *http.Response, body []byte) {
	t.Helper()
	var f failure
	if err := json.Unmarshal(body, &f); err != nil || f.Code != response.StatusCode || f.Message == "" {
		t.Errorf("%d is not a failure of the contract: %q", response.StatusCode, body)
	}
	if strings.Contains(strings.ToLower(string(body)), "header") && response.StatusCode != 431 {
		t.Errorf("the answer says more than the contract: %q", body)
	}
	for _, name := range []string{"request-id", "Content-Security-Policy", "Referrer-Policy"} {
		if response.Header.Get(name) == "" {
			t.Errorf("%d without %s", response.StatusCode, name)
		}
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%d with %s %q, want %q", response.StatusCode, name, got, want)
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// TestFraming expects ambiguous framing to be refused and the connection closed: behind a gateway, the rest could be taken for
// another client's request (request smuggling).
func TestFraming(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	const smuggled = "GET /v1/version HTTP/1.1\r\nHost: x\r\nrequest-id: smuggled-1\r\n\r\n"
	head := "PUT /v1/oauth/refresh HTTP/1.1\r\nHost: x\r\nrequest-id: framing-1\r\nContent-Type: application/json\r\n"
	body := `{"refreshToken":"x"}`
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for name, raw := range map[string]string{
		"CL.TE":                      head + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"TE.CL":                      head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + smuggled + "\r\n0\r\n\r\n",
		"TE with a space":            head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"another TE":                 head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two TEs":                    head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"two lengths":                head + length + "Content-Length: 0\r\n\r\n" + body,
		"a negative length":          head + "Content-Length: -1\r\n\r\n" + body,
		"a length with a sign":       head + "Content-Length: +20\r\n\r\n" + body,
		"a length that is no number": head + "Content-Length: 0x14\r\n\r\n" + body,
		"two hosts":                  strings.Replace(head, "Host: x", "Host: x\r\nHost: y", 1) + length + "\r\n" + body,
		"no host":                    strings.Replace(head, "Host: x\r\n", "", 1) + length + "\r\n" + body,
		"NUL in a header":            head + "X-Nul: a\x00b\r\n" + length + "\r\n" + body,
		"a bare CR in a header":      head + "X-Cr: a\rb\r\n" + length + "\r\n" + body,
		"a chunk's bare LF":          head + "Transfer-Encoding: chunked\r\n\r\n14\n" + body + "\r\n0\r\n\r\n",
		"a chunk's LF extension":     head + "Transfer-Encoding: chunked\r\n\r\n14;x\n" + body + "\r\n0\r\n\r\n",
		"a malformed chunk":          head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + "\r\n0\r\n\r\n",
		"HTTP/2 in clear":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/3.0":                   strings.Replace(head, "HTTP/1.1", "HTTP/3.0", 1) + "\r\n",
		"a header of 32 KiB":         head + "X-Long: " + strings.Repeat("x", 32<<10) + "\r\n\r\n",
		"a first line of 32 KiB":     "GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"no HTTP at all":             "EHLO x\r\n\r\n",
		"TLS":                        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"a folded header":            head + "X-Folded: a\r\n : b\r\n" + length + "Connection: close\r\n\r\n" + body,
		"an unknown expectation":     head + "Expect: tea\r\n" + length + "\r\n" + body,
		"OPTIONS *":                  "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"TRACE":                      "TRACE /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"an unknown method":          strings.Repeat("A", 8<<10) + " /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"a body larger than it says": head + "Content-Length: 3\r\n\r\n" + body + "\r\n\r\n",
		"CONNECT":                    "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			statuses, closed := dialogue(t, s, raw)
			if !closed {
				t.Error("the connection stays open")
			}
			if len(statuses) == 0 || len(statuses) > 1 && name != "a body larger than it says" {
				t.Errorf("answered %v", statuses)
			}
			for _, status := range statuses {
				if status < 400 || status >= 500 {
					t.Errorf("answered %v", statuses)
				}
			}
		})
	}
	t.Cleanup(func() {
		if strings.Contains(s.Log(), "smuggled-1") {
			t.Error("the smuggled request was answered")
		}
		if got := strings.Count(s.Log(), `"msg":"request.malformed"`); got < 10 {
			t.Errorf("only %d refusals before any handler are in the log", got)
		}
	})
}

// TestSlowClients expects clients that send or read too slowly to be disconnected, without delaying others.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	head := "PUT /v1/oauth/refresh HTTP/1.1\r\nHost: x\r\nrequest-id: slow-client\r\nContent-Type: application/json\r\n"
	begun := make(chan struct{})
	t.Run("slow", func(t *testing.T) {
		for name, raw := range map[string]string{
			"half a header": head,
			"half a body":   head + "Content-Length: 20\r\n\r\n{",
			"half a chunk":  head + "Transfer-Encoding: chunked\r\n\r\n14\r\n{",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				statuses, closed := dialogue(t, s, raw)
				if !closed || len(statuses) > 1 || len(statuses) == 1 && (statuses[0] < 400 || statuses[0] >= 500) {
					t.Errorf("answered %v, closed %v", statuses, closed)
				}
			})
		}
		t.Run("others meanwhile", func(t *testing.T) {
			t.Parallel()
			for range 200 {
				idle, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = idle.Close() })
			}
			p := newPerson(t, s).join(s.Invite(t, 1))
			p.login()
			p.refresh()
			close(begun)
		})
	})
	<-begun
}

// TestAdminIsNotPublic expects no path of the admin port on the public one (ASVS 13.4.5).
func TestAdminIsNotPublic(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/mail", "/mail/", "/mail.json", "/mail/latest/text", "/debug/pprof/", "/debug/vars"} {
		response, _ := send(t, s, http.MethodGet, path, jsonHeader(), "")
		wantStatus(t, path, response.StatusCode, 404)
	}
}
