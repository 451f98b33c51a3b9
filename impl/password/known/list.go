// Package known finds passwords in lists of known passwords: the built-in list, and lists that operators build.
//
// A list is a file with the sorted, shortened SHA-1 hashes of passwords. SHA-1 is enough, because nothing is kept secret by it, and it is what
// Have I Been Pwned publishes. Hashes are as short as they can be with less than one false refusal in a million passwords.
//
// The format, with numbers in big-endian order:
//
//	16 bytes  "password-list 1\n"
//	 1 byte   bytes per hash: 1 to 8
//	 1 byte   1 if the hashes are of passwords as they were typed, 0 if of passwords in lower case
//	 6 bytes  zero
//	 8 bytes  number of hashes
//	          the hashes, ascending
//	 4 bytes  CRC-32C of everything before
package known

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // see the package's documentation
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"sort"
	"strings"

	"golang.org/x/text/unicode/norm"
)

const (
	magic       = "password-list 1\n"
	headerSize  = 32
	trailerSize = 4
	maxWidth    = 8
)

var (
	// ErrNotList means that a file is not a password list.
	ErrNotList = errors.New("not a password list: create it with financelime-auth password-list build")
	// ErrDamaged means that a password list is incomplete or was changed.
	ErrDamaged = errors.New("the password list is damaged or incomplete: build it again")
)

// header is the beginning of a list.
type header struct {
	width int // bytes per hash
	exact bool
	count int
}

func (h header) bytes() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	b[16] = byte(h.width) //nolint:gosec // at most 8
	if h.exact {
		b[17] = 1
	}
	binary.BigEndian.PutUint64(b[24:], uint64(h.count)) //nolint:gosec // never negative
	return b
}

// parseHeader parses the header of a list whose file has this size.
func parseHeader(b []byte, size int64) (header, error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return header{}, ErrNotList
	}
	if len(b) < headerSize || b[16] < 1 || b[16] > maxWidth || b[17] > 1 || !bytes.Equal(b[18:24], make([]byte, 6)) {
		return header{}, ErrDamaged
	}
	width, count := uint64(b[16]), binary.BigEndian.Uint64(b[24:])
	if count > math.MaxInt64/maxWidth-headerSize || count > math.MaxInt || headerSize+width*count+trailerSize != uint64(size) { //nolint:gosec // never negative
		return header{}, ErrDamaged
	}
	return header{width: int(width), exact: b[17] == 1, count: int(count)}, nil //nolint:gosec // both are checked above
}

// List is a list of known passwords. It reads its file at each search and keeps nothing of it in memory. It is safe for concurrent use.
type List struct {
	header
	file   io.ReaderAt
	closer io.Closer
}

// Open opens a list and reads all of it once, to find damage.
func Open(path string) (*List, error) {
	file, err := os.Open(path) //nolint:gosec // the operator chose the file
	if err != nil {
		return nil, err
	}
	list, err := open(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return list, nil
}

func open(file *os.File) (*List, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	list, err := newList(file, info.Size())
	if err != nil {
		return nil, err
	}
	list.closer = file
	return list, verify(file, info.Size())
}

// newList returns the list in a file of this size. It reads only the header.
func newList(file io.ReaderAt, size int64) (*List, error) {
	start := make([]byte, min(headerSize, size))
	if _, err := file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	h, err := parseHeader(start, size)
	if err != nil {
		return nil, err
	}
	return &List{header: h, file: file}, nil
}

// newChecksum returns the checksum of lists, for which processors have an instruction.
func newChecksum() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// verify returns ErrDamaged if the checksum at the end of a list is wrong.
func verify(file io.ReaderAt, size int64) error {
	sum := newChecksum()
	content := bufio.NewReaderSize(io.NewSectionReader(file, 0, size), 1<<20)
	if _, err := io.CopyN(sum, content, size-trailerSize); err != nil {
		return err
	}
	trailer, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if !bytes.Equal(trailer, sum.Sum(nil)) {
		return ErrDamaged
	}
	return nil
}

// Len returns how many hashes the list has.
func (l *List) Len() int { return l.count }

// FalseRate returns the probability that Contains finds a password that is not in the list.
func (l *List) FalseRate() float64 { return falseRate(l.count, l.width, l.exact) }

func falseRate(count, width int, exact bool) float64 {
	searches := 1.0
	if exact {
		searches = 2
	}
	return searches * float64(count) / math.Pow(2, 8*float64(width))
}

// Close closes the file of the list.
func (l *List) Close() error {
	if l.closer == nil {
		return nil
	}
	return l.closer.Close()
}

// Contains reports whether a password in NFC is in the list, in any letter case. Only hashes of passwords as they were typed (HIBP's) depend on
// the case: there it finds the password as it is and in lower case.
func (l *List) Contains(password string) (bool, error) {
	found, err := l.containsHash(hashPrefix([]byte(lower(password))))
	if err != nil || found || !l.exact {
		return found, err
	}
	return l.containsHash(hashPrefix([]byte(password)))
}

// containsHash searches for the first bytes of a hash. Hashes are evenly distributed, so it first searches where the hash should be: within six
// standard deviations. That reads fewer pages than a search in the whole list.
func (l *List) containsHash(want uint64) (bool, error) {
	expected := int(float64(want) / (1 << 32) / (1 << 32) * float64(l.count))
	distance := 3*int(math.Sqrt(float64(l.count))) + 1
	s := search{list: l, hash: want >> (64 - 8*l.width), record: make([]byte, 8)}
	low, high := max(0, expected-distance), min(l.count, expected+distance)
	if low > 0 && s.compare(low-1) <= 0 || high < l.count && s.compare(high) >= 0 {
		low, high = 0, l.count
	}
	_, found := sort.Find(high-low, func(i int) int { return s.compare(low + i) })
	return found && s.err == nil, s.err
}

// search is a search for a hash.
type search struct {
	list   *List
	hash   uint64
	record []byte
	err    error // the first error
}

// compare compares the hash with the one at a position of the list. After an error it returns 0, which ends the search.
func (s *search) compare(i int) int {
	if s.err == nil {
		_, s.err = s.list.file.ReadAt(s.record[8-s.list.width:], headerSize+int64(i)*int64(s.list.width))
	}
	if s.err != nil {
		return 0
	}
	return cmp.Compare(s.hash, binary.BigEndian.Uint64(s.record))
}

// lower returns the form of a password in which a list without letter case has it. Lower case can have another NFC.
func lower(password string) string { return norm.NFC.String(strings.ToLower(password)) }

// hashPrefix returns the first 8 bytes of the SHA-1 hash of a password.
func hashPrefix(password []byte) uint64 {
	return prefixOf(sha1.Sum(password)) //nolint:gosec // see the package's documentation
}

func prefixOf(sum [sha1.Size]byte) uint64 { return binary.BigEndian.Uint64(sum[:]) }
