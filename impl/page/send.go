package page

import (
	"maps"
	"net/http"
)

// Send answers a request with the page.
func (p Page) Send(w http.ResponseWriter) error {
	maps.Copy(w.Header(), p.Header)
	w.Header().Set("Content-Type", p.ContentType)
	w.WriteHeader(p.Status)
	_, err := w.Write(p.Body)
	return err
}
