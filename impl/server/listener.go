package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/google/uuid"

	"github.com/financelime/authorization/impl/event"
	"github.com/financelime/authorization/impl/reqinfo"
)

// Listener gives the answers of net/http itself the form of all others. What is not HTTP, is ambiguous or too long it
// refuses before any handler is asked, with a line of text. Here that becomes the contract's failure, with the headers of every
// answer, and an event in the log.
func Listener(l net.Listener, https bool, log *slog.Logger) net.Listener {
	return &listener{Listener: l, https: https, log: log}
}

type listener struct {
	net.Listener
	https bool
	log   *slog.Logger
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, listener: l}, nil
}

type conn struct {
	net.Conn
	listener *listener
}

// Write replaces a refusal of net/http, which it writes in one piece and after which it closes the connection.
func (c *conn) Write(b []byte) (int, error) {
	status := refusedByGo(b)
	if status == 0 {
		return c.Conn.Write(b)
	}
	answer, err := c.refuse(status)
	if err != nil {
		return 0, err
	}
	if _, err := c.Conn.Write(answer); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite is what net/http calls so that a refusal reaches a client that is still sending.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// The marks of the answers that net/http gives by itself. No answer of ours has so few headers, or status 417.
const (
	statusLine  = "HTTP/1.1 "
	goRefusal   = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	expectation = "417 "
)

// refusedByGo is the status with which net/http refuses what is no request, or 0. Versions of HTTP and transfer codings that
// nobody speaks here (505, 501) are the caller's mistake and not a defect of the service.
func refusedByGo(b []byte) int {
	rest, found := bytes.CutPrefix(b, []byte(statusLine))
	if !found {
		return 0
	}
	first, headers, _ := bytes.Cut(rest, []byte("\r\n"))
	switch {
	case bytes.HasPrefix(first, []byte(expectation)):
		return http.StatusExpectationFailed
	case !bytes.HasPrefix(headers, []byte(goRefusal)):
		return 0
	case bytes.HasPrefix(first, []byte("431 ")):
		return http.StatusRequestHeaderFieldsTooLarge
	default:
		return http.StatusBadRequest
	}
}

func (c *conn) refuse(status int) ([]byte, error) {
	req := &reqinfo.Info{RequestID: uuid.NewString()}
	if peer, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		req.Addr = peer.Addr().Unmap().WithZone("")
	}
	event.Record(reqinfo.NewContext(context.Background(), req), c.listener.log, event.RequestMalformed, slog.Int("status", status))

	body, err := json.Marshal(jsonFailure(status))
	if err != nil {
		return nil, err
	}
	response := http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header:        http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(body))}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	setHeaders(response.Header, req.RequestID, c.listener.https)
	var answer bytes.Buffer
	err = response.Write(&answer)
	return answer.Bytes(), err
}
