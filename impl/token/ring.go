package token

import (
	"bytes"
	"time"

	"github.com/financelime/authorization/impl/digest"
)

// ring is the keys of one moment. It never changes.
type ring struct {
	keys []*signingKey // by number, the newest last
	byID map[string]*signingKey
	jwks []byte
	etag string
}

// newRing makes a ring of keys in the order of their numbers.
func newRing(keys []*signingKey) *ring {
	r := &ring{keys: keys, byID: make(map[string]*signingKey, len(keys))}
	published := make([][]byte, len(keys))
	for i, k := range keys {
		r.byID[k.id] = k
		published[i] = k.jwk
	}
	r.jwks = append(r.jwks, `{"keys":[`...)
	r.jwks = append(r.jwks, bytes.Join(published, []byte(","))...)
	r.jwks = append(r.jwks, `]}`...)
	r.etag = digest.ETag(r.jwks)
	return r
}

// signing is the key that signs at a time: the newest that is active. On a replica whose clock is behind that of the
// one that made the very first key, none is active yet: then it is the first.
//
// Clocks: a replica that is 5 s ahead signs with a new key 5 s early. Every gateway knows it by then: it was published minutes before.
// One that is behind, or set back by 10 min, signs with the old key for as much longer, with tokens that expire by its own clock and so
// no later than those of the others: the old key is kept for longer than that (retireAfter).
func (r *ring) signing(now time.Time) *signingKey {
	for i := len(r.keys) - 1; i > 0; i-- {
		if !r.keys[i].activeAt.After(now) {
			return r.keys[i]
		}
	}
	return r.keys[0]
}

// newest is the key of the greatest number, active or to come.
func (r *ring) newest() *signingKey { return r.keys[len(r.keys)-1] }
