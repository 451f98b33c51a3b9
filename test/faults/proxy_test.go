package faults

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// mode is what a proxy does with the connections through it.
type mode int

const (
	pass      mode = iota
	blackHole      // nothing comes through in either direction, and nobody is told: a network that has gone
	mute           // the server gets what it is sent, but its answers do not come through
	reset          // every connection is cut, and every new one too
	refuse         // connections are cut, and nothing listens
)

func (m mode) String() string {
	return map[mode]string{pass: "pass", blackHole: "black hole", mute: "mute", reset: "reset", refuse: "refuse"}[m]
}

// proxy stands between the service and PostgreSQL.
type proxy struct {
	t       testing.TB
	address string
	server  string

	mu       sync.Mutex
	changed  *sync.Cond
	mode     mode
	delay    time.Duration // of everything that is sent
	closed   bool
	listener net.Listener
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

// newProxy starts a proxy before the server of a database URL, and returns the URL that leads through it.
func newProxy(t testing.TB, database string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, server: u.Host, conns: make(map[net.Conn]bool)}
	p.changed = sync.NewCond(&p.mu)
	for try := 0; ; try++ { // below the ports that systems give to outgoing connections, so that it is free again later
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
			p.t.Fatalf("the proxy listens no more: %v", err)
		}
	}
}

// setDelay makes everything that is sent late by that much.
func (p *proxy) setDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// cut closes a connection with a reset: what is under way is lost.
func (p *proxy) cut(conn net.Conn) {
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.keep(client) {
		p.cut(client)
		return
	}
	defer p.forget(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, blackHole, blackHole) })
	both.Go(func() { p.copy(client, server, blackHole, mute) })
	both.Wait()
}

func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == reset || p.mode == refuse {
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *proxy) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// copy hands on what comes, except while the proxy is in one of two modes: then it waits, as packets do that are sent again and
// again until the network is back.
func (p *proxy) copy(to, from net.Conn, either, or mode) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for !p.closed && (p.mode == either || p.mode == or) {
			p.changed.Wait()
		}
		delay := p.delay
		p.mu.Unlock()
		time.Sleep(delay) // zero, unless the network is slow
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
