package mail

import (
	"slices"
	"sync"
	"time"
)

// pool holds idle SMTP sessions. Greeting, TLS and AUTH take most of the time of a mail, and relays limit how often a client may connect.
// Sessions do not stay for long, because relays end idle sessions, too.
type pool struct {
	idleTimeout time.Duration
	maxMails    int // of one session; some relays end it after a hundred

	mu   sync.Mutex // guards idle
	idle []*smtpSession
}

func newPool() *pool { return &pool{idleTimeout: 2 * time.Second, maxMails: 100} }

// get removes and returns the session that was used last, or nil if the pool is empty.
func (p *pool) get() *smtpSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.idle); n > 0; n = len(p.idle) {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if s.expiry.Stop() { // otherwise it is about to end
			return s
		}
	}
	return nil
}

// put adds a session, or ends it if it may not be used again.
func (p *pool) put(s *smtpSession) {
	if p.idleTimeout <= 0 || s.mails >= p.maxMails {
		s.quit()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
	s.expiry = time.AfterFunc(p.idleTimeout, func() {
		p.mu.Lock()
		p.idle = slices.DeleteFunc(p.idle, func(other *smtpSession) bool { return other == s })
		p.mu.Unlock()
		s.quit()
	})
}
