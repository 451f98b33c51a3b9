package token

import (
	"bytes"
	"time"

	"github.com/financelime/authorization/impl/digest"
)

// keySet contains the signing keys that were valid when the database was read. It is immutable.
type keySet struct {
	keys []*signingKey // by number, newest last
	byID map[string]*signingKey
	jwks []byte
	etag string
}

// newKeySet returns the set of keys, which must be in the order of their numbers.
func newKeySet(keys []*signingKey) *keySet {
	s := &keySet{keys: keys, byID: make(map[string]*signingKey, len(keys))}
	published := make([][]byte, len(keys))
	for i, k := range keys {
		s.byID[k.id] = k
		published[i] = k.jwk
	}
	s.jwks = append(s.jwks, `{"keys":[`...)
	s.jwks = append(s.jwks, bytes.Join(published, []byte(","))...)
	s.jwks = append(s.jwks, `]}`...)
	s.etag = digest.ETag(s.jwks)
	return s
}

// signing returns the key that signs at now: the newest active key. If the clock of this replica is behind that of the replica that
// created the very first key, no key is active yet, and it returns the first.
//
// Clocks: a replica whose clock is 5 s ahead signs with a new key 5 s early. Every gateway has the key by then, because it was
// published minutes before. A replica whose clock is behind, or was set back by 10 min, signs with the old key for that much longer.
// Its tokens expire by its own clock, so no later than those of other replicas, and the old key is published for longer than that
// (retireAfter).
func (s *keySet) signing(now time.Time) *signingKey {
	for i := len(s.keys) - 1; i > 0; i-- {
		if !s.keys[i].activeAt.After(now) {
			return s.keys[i]
		}
	}
	return s.keys[0]
}

// newest returns the key with the greatest number, even if it is not active yet.
func (s *keySet) newest() *signingKey { return s.keys[len(s.keys)-1] }
