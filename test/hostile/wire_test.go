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

// wire is a connection to a service that is kept open as long as the service keeps it.
type wire struct {
	addr string
	conn *net.TCPConn
	in   *bufio.Reader
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
	closed bool // the service ended the connection with it
}

// verdict is what both engines must agree on.
func (a answer) verdict() string {
	verdict := fmt.Sprintf("%d %s %s %s", a.status, a.header.Get("Content-Type"), a.header.Get("WWW-Authenticate"), a.header.Get("Allow"))
	if a.status >= 400 {
		verdict += " " + a.body
	}
	return verdict
}

// send makes a request on the open connection, or on a new one.
func (w *wire) send(r request) (answer, error) {
	if w.conn == nil {
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			return answer{}, fmt.Errorf("connect: %w", err)
		}
		w.conn, w.in = conn.(*net.TCPConn), bufio.NewReader(conn)
	}
	began := time.Now()
	a, err := w.exchange(r, began.Add(patience()))
	a.took = time.Since(began)
	if err != nil || a.closed {
		w.close()
	}
	return a, err
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

func (w *wire) exchange(r request, deadline time.Time) (answer, error) {
	if err := w.conn.SetDeadline(deadline); err != nil {
		return answer{}, err
	}
	// A service that refuses early may have closed its end while we are still writing; its answer is there all the same.
	if _, err := io.WriteString(w.conn, r.text()); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return answer{}, fmt.Errorf("send: %w", err)
	}
	if r.halfClose {
		if err := w.conn.CloseWrite(); err != nil {
			return answer{}, fmt.Errorf("send: %w", err)
		}
	}
	for {
		response, err := http.ReadResponse(w.in, &http.Request{Method: r.method})
		if err != nil {
			return answer{}, fmt.Errorf("read the answer: %w", err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return answer{}, fmt.Errorf("read the answer: %w", err)
		}
		if response.StatusCode < 200 {
			continue // 100 Continue
		}
		return answer{status: response.StatusCode, header: response.Header, body: string(body), closed: response.Close || r.halfClose}, nil
	}
}

// text is a request's bytes.
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
func (r request) check(a answer) error {
	if harness.Unrouted(a.header) {
		return harness.CheckUnrouted(a.status, a.header, a.body, a.closed)
	}
	if a.status >= 500 {
		return errors.New("no request may cause a 5xx response")
	}
	target := r.target
	if _, rest, found := strings.Cut(target, "://"); found && target[0] != '/' { // the absolute form
		_, path, _ := strings.Cut(rest, "/")
		target = "/" + path
	}
	path, _, _ := strings.Cut(target, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		return fmt.Errorf("net/http has let %q pass", path)
	}
	if strings.HasPrefix(path, "/u/") && a.status == http.StatusNotFound {
		// A link that somebody's mail program has lengthened is still answered to a person.
		path, plain = "/u/x", "/u/x"
	}
	return contract.Check(&http.Request{Method: r.method, URL: &url.URL{Path: plain, RawPath: path}}, a.status, a.header, []byte(a.body))
}
