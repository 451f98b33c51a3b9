package contract

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// patience is longer than the service takes to cut off a slow client: 5 s for the header, 15 s for the whole request.
const patience = 40 * time.Second

// exchange sends raw bytes and returns the statuses of all responses until the service closes the connection. Each failure must have the
// form of the contract or, if net/http rejected the request before routing, the form of net/http.
func exchange(t *testing.T, s *harness.Service, raw string) (statuses []int, closed bool) {
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
	responses := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(responses, nil)
		if err != nil {
			return statuses, !errors.Is(err, io.ErrNoProgress) && !isTimeout(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return statuses, !isTimeout(err)
		}
		switch {
		case harness.Unrouted(response.Header):
			if err := harness.CheckUnrouted(response.StatusCode, response.Header, string(body), response.Close); err != nil {
				t.Error(err)
			}
		case response.StatusCode >= 400:
			wantContractFailure(t, response, body)
		}
		statuses = append(statuses, response.StatusCode)
	}
}

// wantContractFailure fails the test unless a handler's response has the body and the headers of a failure.
func wantContractFailure(t *testing.T, response *http.Response, body []byte) {
	t.Helper()
	var f failure
	if err := json.Unmarshal(body, &f); err != nil || f.Code != response.StatusCode || f.Message == "" {
		t.Errorf("%d is not a failure of the contract: %q", response.StatusCode, body)
	}
	if strings.Contains(strings.ToLower(string(body)), "header") {
		t.Errorf("the body has more than the contract documents: %q", body)
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

const (
	smuggled    = "GET /v1/version HTTP/1.1\r\nHost: x\r\nrequest-id: smuggled-1\r\n\r\n"
	framingHead = "PUT /v1/oauth/refresh HTTP/1.1\r\nHost: x\r\nrequest-id: framing-1\r\nContent-Type: application/json\r\n"
	framingBody = `{"refreshToken":"x"}`
)

// unroutable are requests that net/http must reject itself, with the status of the response.
func unroutable() map[string]struct {
	raw    string
	status int
} {
	const head, body = framingHead, framingBody
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	return map[string]struct {
		raw    string
		status int
	}{
		"Transfer-Encoding with a space":         {head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
		"unknown Transfer-Encoding":              {head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, 501},
		"Transfer-Encoding list":                 {head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled, 501},
		"two Transfer-Encoding headers":          {head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled, 501},
		"two Content-Length headers":             {head + length + "Content-Length: 0\r\n\r\n" + body + smuggled, 400},
		"Content-Length list":                    {head + "Content-Length: 0, 20\r\n\r\n" + body + smuggled, 400},
		"negative Content-Length":                {head + "Content-Length: -1\r\n\r\n" + body + smuggled, 400},
		"Content-Length with a sign":             {head + "Content-Length: +20\r\n\r\n" + body + smuggled, 400},
		"hexadecimal Content-Length":             {head + "Content-Length: 0x14\r\n\r\n" + body + smuggled, 400},
		"folded Content-Length":                  {head + "Content-Length: 2\r\n 0\r\n\r\n" + body + smuggled, 400},
		"bare LF before a second Content-Length": {head + "Content-Length: 20\nContent-Length: 0\r\n\r\n" + body + smuggled, 400},
		"two hosts":                              {strings.Replace(head, "Host: x", "Host: x\r\nHost: y", 1) + length + "\r\n" + body, 400},
		"no host":                                {strings.Replace(head, "Host: x\r\n", "", 1) + length + "\r\n" + body, 400},
		"NUL in a header":                        {head + "X-Nul: a\x00b\r\n" + length + "\r\n" + body, 400},
		"bare CR in a header":                    {head + "X-Cr: a\rb\r\n" + length + "\r\n" + body, 400},
		"folded first header":                    {"GET /v1/version HTTP/1.1\r\n X-Folded: a\r\nHost: x\r\n\r\n", 400},
		"HTTP/3.0":                               {strings.Replace(head, "HTTP/1.1", "HTTP/3.0", 1) + "\r\n", 505},
		"header of 32 KiB":                       {head + "X-Long: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", 431},
		"first line of 32 KiB":                   {"GET /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
		"SMTP":                                   {"EHLO x\r\n\r\n", 400},
		"TLS":                                    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		"unknown expectation":                    {head + "Expect: tea\r\n" + length + "\r\n" + body, 417},
	}
}

// framed are requests that reach a handler although another HTTP reader could find a different end of them. The handler must reject
// them and close the connection.
func framed() map[string]string {
	const head, body = framingHead, framingBody
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	return map[string]string{
		"CL.TE":                       head + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"TE.CL":                       head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + fmt.Sprintf("%x\r\n", len(smuggled)) + smuggled + "\r\n0\r\n\r\n",
		"folded Transfer-Encoding":    head + length + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"Transfer-Encoding after LF":  head + "Content-Length: 20\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"bare LF after a chunk size":  head + "Transfer-Encoding: chunked\r\n\r\n14\n" + body + "\r\n0\r\n\r\n" + smuggled,
		"bare LF after a chunk":       head + "Transfer-Encoding: chunked\r\n\r\n14\r\n" + body + "\n0\r\n\r\n" + smuggled,
		"LF in a chunk extension":     head + "Transfer-Encoding: chunked\r\n\r\n14;x\n" + body + "\r\n0\r\n\r\n" + smuggled,
		"malformed chunk":             head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + "\r\n0\r\n\r\n" + smuggled,
		"folded header":               head + "X-Folded: a\r\n : b\r\n" + length + "Connection: close\r\n\r\n" + body,
		"HTTP/2 without TLS":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"OPTIONS *":                   "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"TRACE":                       "TRACE /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"unknown method":              strings.Repeat("A", 8<<10) + " /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"CONNECT":                     "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nConnection: close\r\n\r\n",
		"body longer than its length": head + "Content-Length: 3\r\n\r\n" + body + "\r\n\r\n",
	}
}

// An ambiguous or malformed request is rejected and the connection is closed. Behind a gateway, the rest of the bytes could be taken for
// the request of another client (RFC 9112 section 11.2).
func TestFraming(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	for name, c := range unroutable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if statuses, closed := exchange(t, s, c.raw); !closed || !slices.Equal(statuses, []int{c.status}) {
				t.Errorf("%v, closed: %t, want %d and a closed connection", statuses, closed, c.status)
			}
		})
	}
	for name, raw := range framed() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			statuses, closed := exchange(t, s, raw)
			if !closed {
				t.Error("the connection stays open")
			}
			if len(statuses) == 0 || len(statuses) > 1 && name != "body longer than its length" {
				t.Errorf("%d responses: %v", len(statuses), statuses)
			}
			for _, status := range statuses {
				if status < 400 || status >= 500 {
					t.Errorf("%v, want 4xx", statuses)
				}
			}
		})
	}
	t.Cleanup(func() {
		if strings.Contains(s.Log(), "smuggled-1") {
			t.Error("the service handled the smuggled request")
		}
		if strings.Count(s.Log(), `"msg":"request"`) == 0 {
			t.Error("the log has no requests: the check of the smuggled request proves nothing")
		}
	})
}

// The service cuts off clients that send too slowly, and serves others meanwhile.
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
				statuses, closed := exchange(t, s, raw)
				if !closed || len(statuses) > 1 || len(statuses) == 1 && (statuses[0] < 400 || statuses[0] >= 500) {
					t.Errorf("%v, closed %v", statuses, closed)
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

// The public port serves none of the paths of the admin port (ASVS 13.4.5).
func TestAdminIsNotPublic(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, binary, contract, harness.SQLite)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/mail", "/mail/", "/mail.json", "/mail/latest/text", "/debug/pprof/", "/debug/vars"} {
		response, _ := send(t, s, http.MethodGet, path, jsonHeader(), "")
		wantStatus(t, path, response.StatusCode, 404)
	}
}
