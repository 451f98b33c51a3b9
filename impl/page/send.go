package page

import (
	"maps"
	"net/http"
	"slices"
)

// Send writes the page as the response.
func (p Page) Send(w http.ResponseWriter) error {
	vary := w.Header().Values("Vary") // what the HTTP layer has set
	maps.Copy(w.Header(), p.Header)
	w.Header()["Vary"] = slices.Concat(vary, p.Header["Vary"])
	w.Header().Set("Content-Type", p.ContentType)
	w.WriteHeader(p.Status)
	_, err := w.Write(p.Body)
	return err
}
