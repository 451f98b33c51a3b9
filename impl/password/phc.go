package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are the cost parameters of an Argon2id hash.
type Params struct {
	Memory  uint32 // in KiB (m)
	Time    uint32 // passes (t)
	Threads uint8  // lanes (p)
}

// DefaultParams returns 46 MiB, one pass, one lane: recommended by OWASP's Password Storage Cheat Sheet and ASVS 5.0, appendix C.
func DefaultParams() Params { return Params{Memory: 47104, Time: 1, Threads: 1} }

// Bounds of the parameters. A stored hash determines how much memory and time its comparison takes. A hash outside the bounds is refused,
// so that a poisoned row cannot exhaust the machine. The defaults can still grow fivefold.
const (
	maxMemory  = 256 * 1024 // KiB
	maxTime    = 10
	maxThreads = 8
)

const (
	saltSize = 16
	tagSize  = 32
)

var errMalformed = errors.New("malformed Argon2id hash")

func (p Params) check() error {
	// RFC 9106 section 3.1: at least 8 KiB per lane.
	if p.Threads < 1 || p.Threads > maxThreads || p.Time < 1 || p.Time > maxTime ||
		p.Memory < 8*uint32(p.Threads) || p.Memory > maxMemory {
		return fmt.Errorf("the Argon2id parameters m=%d, t=%d, p=%d are out of bounds", p.Memory, p.Time, p.Threads)
	}
	return nil
}

// phc is a parsed hash.
type phc struct {
	Params
	salt [saltSize]byte
	tag  [tagSize]byte
}

// phcKey is the input of a computation besides the password.
type phcKey struct {
	Params
	salt [saltSize]byte
}

func (h phc) key() phcKey { return phcKey{h.Params, h.salt} }

// String returns the hash in the PHC string format.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Time, h.Threads,
		base64.RawStdEncoding.EncodeToString(h.salt[:]), base64.RawStdEncoding.EncodeToString(h.tag[:]))
}

// parsePHC parses exactly what String returns. Its errors do not contain the text.
func parsePHC(text string) (phc, error) {
	if len(text) > 128 { // a hash has about 100 bytes
		return phc{}, errMalformed
	}
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return phc{}, errMalformed
	}
	var h phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.Memory, &h.Time, &h.Threads); err != nil {
		return phc{}, errMalformed
	}
	if err := h.check(); err != nil {
		return phc{}, err
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	tag, errTag := base64.RawStdEncoding.DecodeString(parts[5])
	if errSalt != nil || errTag != nil || copy(h.salt[:], salt) != saltSize || copy(h.tag[:], tag) != tagSize {
		return phc{}, errMalformed
	}
	// This refuses other algorithms and versions, and non-canonical numbers and base64.
	if h.String() != text {
		return phc{}, errMalformed
	}
	return h, nil
}
