package dev

import (
	"bytes"
	"net/http"
)

// heldResponse keeps a response until send. A client that reads slowly would otherwise keep the requests waiting that have an example too.
type heldResponse struct {
	w      http.ResponseWriter // only its headers are used before send
	status int                 // 0 until WriteHeader
	body   bytes.Buffer
}

func (h *heldResponse) Header() http.Header { return h.w.Header() }

func (h *heldResponse) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *heldResponse) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

// send writes the response to the client. An error means that the client has gone.
func (h *heldResponse) send() {
	if h.status != 0 {
		h.w.WriteHeader(h.status)
	}
	_, _ = h.body.WriteTo(h.w)
}
