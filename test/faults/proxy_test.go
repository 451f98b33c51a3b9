package faults

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// mode is the way in which a proxy treats connections.
type mode int

const (
	pass          mode = iota
	blackHole          // nothing passes in either direction and no error is reported, as with a lost network
	dropResponses      // requests reach the server, but its responses do not pass
	reset              // every connection is reset, also every new one
	refuse             // connections are reset, and the port is closed
)

func (m mode) String() string {
	return map[mode]string{pass: "pass", blackHole: "black hole", dropResponses: "drop responses", reset: "reset", refuse: "refuse"}[m]
}

// proxy is a TCP proxy between the service and PostgreSQL.
type proxy struct {
	t       testing.TB
	address string
	server  string

	mu       sync.Mutex
	changed  *sync.Cond
	mode     mode
	delay    time.Duration // of each chunk in each direction
	closed   bool
	listener net.Listener
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

// newProxy starts a proxy in front of the server of a database URL, and returns the URL of the database through the proxy.
func newProxy(t testing.TB, database string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: u.Host, conns: make(map[net.Conn]bool)}
	p.changed = sync.NewCond(&p.mu)
	for try := 0; ; try++ { // below the ephemeral ports, so that the port is still free when the proxy listens again
		p.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		if err = p.listen(); err == nil {
			break
		}
		if try == 100 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.set(refuse)
		p.running.Wait()
	})
	u.Host = p.address
	return p, u.String()
}

func (p *proxy) listen() error {
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	p.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(conn) })
		}
	})
	return nil
}

// set changes the mode.
func (p *proxy) set(m mode) {
	p.t.Helper()
	p.mu.Lock()
	was := p.mode
	p.mode = m
	if m == reset || m == refuse {
		for conn := range p.conns {
			p.cut(conn)
		}
	}
	if m == refuse {
		_ = p.listener.Close()
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	if was == refuse && m != refuse {
		if err := p.listen(); err != nil {
			p.t.Fatalf("the proxy cannot listen again: %v", err)
		}
	}
}

// setDelay delays each chunk in each direction.
func (p *proxy) setDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// cut closes a connection with a TCP reset: data in transit is lost.
func (p *proxy) cut(conn net.Conn) {
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.register(client) {
		p.cut(client)
		return
	}
	defer p.unregister(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.register(server) {
		return
	}
	defer p.unregister(server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, blackHole) })
	both.Go(func() { p.copy(client, server, blackHole, dropResponses) })
	both.Wait()
}

func (p *proxy) register(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == reset || p.mode == refuse {
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *proxy) unregister(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// copy forwards data. While the proxy is in one of the blocking modes, copy waits, like TCP retransmission during a network outage.
func (p *proxy) copy(to, from net.Conn, blocking ...mode) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for !p.closed && slices.Contains(blocking, p.mode) {
			p.changed.Wait()
		}
		delay := p.delay
		p.mu.Unlock()
		time.Sleep(delay) // zero, unless the test simulates a slow network
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				if tcp, isTCP := to.(*net.TCPConn); isTCP {
					_ = tcp.CloseWrite()
					return
				}
			}
			_ = to.Close()
			return
		}
	}
}
