package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are what an Argon2id hash costs.
type Params struct {
	Memory  uint32 // in KiB (m)
	Time    uint32 // passes (t)
	Threads uint8  // lanes (p)
}

// DefaultParams are 46 MiB, one pass, one lane: on the lists of OWASP's password storage cheat sheet and of ASVS 5.0,
// appendix C.
func DefaultParams() Params { return Params{Memory: 47104, Time: 1, Threads: 1} }

// Bounds of the parameters. A stored hash says how much memory and time checking it takes; beyond these it is refused,
// so that a row that somebody poisoned cannot eat the machine. The defaults leave room to grow fivefold.
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
		return fmt.Errorf("argon2id parameters m=%d, t=%d, p=%d are out of bounds", p.Memory, p.Time, p.Threads)
	}
	return nil
}

// phc is a hash in its parts.
type phc struct {
	Params
	salt [saltSize]byte
	tag  [tagSize]byte
}

// phcKey is what one computation needs besides the password.
type phcKey struct {
	Params
	salt [saltSize]byte
}

func (h phc) key() phcKey { return phcKey{h.Params, h.salt} }

// String writes the hash in the PHC string format.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Time, h.Threads,
		base64.RawStdEncoding.EncodeToString(h.salt[:]), base64.RawStdEncoding.EncodeToString(h.tag[:]))
}

// parsePHC reads exactly what String writes. Its errors do not contain the text.
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
	// Other algorithms and versions, and other spellings of numbers and of base64, end here.
	if h.String() != text {
		return phc{}, errMalformed
	}
	return h, nil
}
