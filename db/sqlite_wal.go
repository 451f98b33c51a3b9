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
	walHeaderSize      = 32
	walFrameHeaderSize = 24
	walMagic           = 0x377f0682 // the lowest bit is set if checksums are big-endian
	walMagicMask       = 0xfffffffe
	walChecksumOffset  = 24 // in the header
	minPageSize        = 512
	maxPageSize        = 65536
)

// checkWAL checks the write-ahead log of a database that no process has open (https://www.sqlite.org/fileformat2.html#walformat).
// SQLite reads the log up to the first frame whose checksum is wrong and ignores the rest. After a crash the rest is one transaction that was
// not acknowledged; incomplete reports whether there is one. If more than one transaction follows that frame, the log is damaged, and
// acknowledged changes would be lost: checkWAL returns a [DamagedError].
func checkWAL(database string) (incomplete bool, err error) {
	file, err := os.Open(database + "-wal") //nolint:gosec // the operator's database
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	in := bufio.NewReaderSize(file, 1<<20)
	header := make([]byte, walHeaderSize)
	switch _, err := io.ReadFull(in, header); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil // no commit
	case err != nil:
		return false, err
	}
	magic := binary.BigEndian.Uint32(header)
	sum := walChecksum{order: binary.LittleEndian}
	if magic&1 == 1 {
		sum.order = binary.BigEndian
	}
	sum.add(header[:walChecksumOffset])
	size := int(binary.BigEndian.Uint32(header[8:]))
	if magic&walMagicMask != walMagic || size < minPageSize || size > maxPageSize || size&(size-1) != 0 || !sum.matches(header[walChecksumOffset:]) {
		return false, &DamagedError{Detail: "the header of its log (-wal) is not valid"}
	}
	return checkWALFrames(in, size, sum, [8]byte(header[16:24]))
}

// checkWALFrames reads the frames after the header. Frames that are left of an earlier log in the same file have other salts.
func checkWALFrames(in io.Reader, pageSize int, sum walChecksum, salts [8]byte) (incomplete bool, err error) {
	frame := make([]byte, walFrameHeaderSize+pageSize)
	invalid := 0 // the number of the first invalid frame
	committed := false
	for number := 1; ; number++ {
		switch _, err := io.ReadFull(in, frame); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return incomplete, nil
		case err != nil:
			return incomplete, err
		}
		current := [8]byte(frame[8:16]) == salts
		if invalid == 0 {
			next := sum
			next.add(frame[:8])
			next.add(frame[walFrameHeaderSize:])
			if current && next.matches(frame[16:24]) {
				sum = next
				continue
			}
			invalid = number
		}
		if !current {
			continue
		}
		if committed {
			return true, &DamagedError{Detail: fmt.Sprintf("its log (-wal) is not valid at frame %d, and more transactions follow", invalid)}
		}
		incomplete = true
		committed = binary.BigEndian.Uint32(frame[4:]) != 0
	}
}

// walChecksum computes the cumulative checksum of the log.
type walChecksum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (s *walChecksum) add(data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		s.s0 += s.order.Uint32(data) + s.s1
		s.s1 += s.order.Uint32(data[4:]) + s.s0
	}
}

func (s *walChecksum) matches(stored []byte) bool {
	return binary.BigEndian.Uint32(stored) == s.s0 && binary.BigEndian.Uint32(stored[4:]) == s.s1
}
