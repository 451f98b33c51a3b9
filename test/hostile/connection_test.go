package hostile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/financelime/authorization/test/harness"
)

// connection is a TCP connection to a service. It is reused until the service closes it.
type connection struct {
	addr string
	conn *net.TCPConn
	in   *bufio.Reader
}

// response is the response to a request.
type response struct {
	status int
	header http.Header
	body   string
	took   time.Duration
	closed bool // the service closed the connection after it
}

// summary returns the parts that must be the same on both database engines.
func (a response) summary() string {
	summary := fmt.Sprintf("%d %s %s %s", a.status, a.header.Get("Content-Type"), a.header.Get("WWW-Authenticate"), a.header.Get("Allow"))
	if a.status >= 400 {
		summary += " " + a.body
	}
	return summary
}

// send sends a request on the open connection, or on a new one, and returns the response.
func (c *connection) send(r request) (response, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return response{}, fmt.Errorf("connect: %w", err)
		}
		c.conn, c.in = conn.(*net.TCPConn), bufio.NewReader(conn)
	}
	began := time.Now()
	a, err := c.exchange(r, began.Add(patience()))
	a.took = time.Since(began)
	if err != nil || a.closed {
		c.close()
	}
	return a, err
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *connection) exchange(r request, deadline time.Time) (response, error) {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return response{}, err
	}
	// A service that rejects a request early may close the connection while the test still writes. Its response can be read nevertheless.
	if _, err := io.WriteString(c.conn, r.text()); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return response{}, fmt.Errorf("send: %w", err)
	}
	if r.halfClose {
		if err := c.conn.CloseWrite(); err != nil {
			return response{}, fmt.Errorf("send: %w", err)
		}
	}
	for {
		got, err := http.ReadResponse(c.in, &http.Request{Method: r.method})
		if err != nil {
			return response{}, fmt.Errorf("read the response: %w", err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil {
			return response{}, fmt.Errorf("read the response: %w", err)
		}
		if got.StatusCode < 200 {
			continue // 100 Continue
		}
		return response{status: got.StatusCode, header: got.Header, body: string(body), closed: got.Close || r.halfClose}, nil
	}
}

// text returns the bytes of a request.
func (r request) text() string {
	if r.head != "" {
		return r.head + r.body
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	if r.header["Host"] == nil {
		b.WriteString("Host: auth.example.test\r\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if r.body != "" && r.header["Content-Length"] == nil && r.header["Transfer-Encoding"] == nil {
		b.WriteString("Content-Length: " + strconv.Itoa(len(r.body)) + "\r\n")
	}
	b.WriteString("\r\n" + r.body)
	return b.String()
}

// check validates a response against the contract. A response that net/http writes itself, before routing, must have the form of net/http.
func (r request) check(a response) error {
	if harness.Unrouted(a.header) {
		return harness.CheckUnrouted(a.status, a.header, a.body, a.closed)
	}
	if a.status >= 500 {
		return errors.New("no request may cause a 5xx response")
	}
	target := r.target
	if _, rest, found := strings.Cut(target, "://"); found && target[0] != '/' { // absolute-form
		_, path, _ := strings.Cut(rest, "/")
		target = "/" + path
	}
	path, _, _ := strings.Cut(target, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		return fmt.Errorf("net/http accepted the path %q", path)
	}
	for _, link := range []string{"/u/", "/l/"} {
		if strings.HasPrefix(path, link) && a.status == http.StatusNotFound {
			// A link that a mail program has lengthened still gets a page.
			path, plain = link+"x", link+"x"
		}
	}
	return contract.Check(&http.Request{Method: r.method, URL: &url.URL{Path: plain, RawPath: path}}, a.status, a.header, []byte(a.body))
}
