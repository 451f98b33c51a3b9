package dev_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// slowClient is the writer of a response that its client does not read.
type slowClient struct {
	http.ResponseWriter
	once    sync.Once
	writing chan struct{} // closed at the first write
	read    chan struct{} // closed when the client reads
}

func (s *slowClient) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.writing) })
	<-s.read
	return s.ResponseWriter.Write(p)
}

// TestSlowClients expects a client that does not read its response to keep no other request with an example waiting, and to get all of it.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.respond = func(w http.ResponseWriter) {
		w.Header().Set("x-first", "true")
		w.WriteHeader(http.StatusAccepted)
		for _, part := range []string{"a long ", "response"} {
			if _, err := w.Write([]byte(part)); err != nil {
				t.Error(err)
			}
		}
	}
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/v1/session/list", nil)
		r.Header.Set("authorization", exampleAccess)
		return r
	}
	recorded := httptest.NewRecorder()
	slow := &slowClient{ResponseWriter: recorded, writing: make(chan struct{}), read: make(chan struct{})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		f.handler.ServeHTTP(slow, request())
	}()
	<-slow.writing

	other := httptest.NewRecorder()
	otherServed := make(chan struct{})
	go func() {
		defer close(otherServed)
		f.handler.ServeHTTP(other, request())
	}()
	select {
	case <-otherServed:
	case <-time.After(10 * time.Second):
		t.Error("a client that does not read its response keeps another request waiting")
	}
	close(slow.read)
	<-served
	<-otherServed
	for _, w := range []*httptest.ResponseRecorder{recorded, other} {
		if w.Code != http.StatusAccepted || w.Body.String() != "a long response" || w.Header().Get("x-first") != "true" || w.Header().Get("x-dev") != "true" {
			t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
		}
	}
}
