package db

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	logHeaderSize  = 32
	frameHeadSize  = 24
	logMagic       = 0x377f0682 // the lowest bit: big-endian checksums
	logMagicMask   = 0xfffffffe
	mostPageSize   = 65536
	leastPageSize  = 512
	headerSumStart = 24
)

// checkLog looks into the write-ahead log of a database that nobody has open (https://www.sqlite.org/fileformat2.html#walformat).
// SQLite reads it up to the first frame whose checksum is wrong, and forgets the rest. After a crash that is a transaction
// that nobody was told of: incomplete reports that there is the rest of one. Where more than one transaction is behind that frame, the
// log is damaged, and acknowledged changes would be lost.
func checkLog(database string) (incomplete bool, err error) {
	file, err := os.Open(database + "-wal") //nolint:gosec // the operator's database
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // only read
	in := bufio.NewReaderSize(file, 1<<20)
	header := make([]byte, logHeaderSize)
	switch _, err := io.ReadFull(in, header); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil // nothing was committed to it
	case err != nil:
		return false, err
	}
	magic := binary.BigEndian.Uint32(header)
	sum := logSum{order: binary.LittleEndian}
	if magic&1 == 1 {
		sum.order = binary.BigEndian
	}
	sum.add(header[:headerSumStart])
	size := int(binary.BigEndian.Uint32(header[8:]))
	if magic&logMagicMask != logMagic || size < leastPageSize || size > mostPageSize || size&(size-1) != 0 || !sum.is(header[headerSumStart:]) {
		return false, &DamagedError{What: "the header of its log (-wal) is not valid"}
	}
	return checkFrames(in, size, sum, [8]byte(header[16:24]))
}

// checkFrames reads the frames after the header. Those of earlier logs in the same file have other salts.
func checkFrames(in io.Reader, pageSize int, sum logSum, salts [8]byte) (incomplete bool, err error) {
	frame := make([]byte, frameHeadSize+pageSize)
	broken := 0 // the first frame that is not valid
	committed := false
	for number := 1; ; number++ {
		switch _, err := io.ReadFull(in, frame); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return incomplete, nil
		case err != nil:
			return incomplete, err
		}
		ours := [8]byte(frame[8:16]) == salts
		if broken == 0 {
			next := sum
			next.add(frame[:8])
			next.add(frame[frameHeadSize:])
			if ours && next.is(frame[16:24]) {
				sum = next
				continue
			}
			broken = number
		}
		if !ours {
			continue
		}
		if committed {
			return true, &DamagedError{What: fmt.Sprintf("its log (-wal) is not valid at frame %d, and more transactions follow", broken)}
		}
		incomplete = true
		committed = binary.BigEndian.Uint32(frame[4:]) != 0
	}
}

// logSum is the checksum of the log.
type logSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (s *logSum) add(data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		s.s0 += s.order.Uint32(data) + s.s1
		s.s1 += s.order.Uint32(data[4:]) + s.s0
	}
}

func (s *logSum) is(stored []byte) bool {
	return binary.BigEndian.Uint32(stored) == s.s0 && binary.BigEndian.Uint32(stored[4:]) == s.s1
}
