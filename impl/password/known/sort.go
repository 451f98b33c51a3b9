package known

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
)

// runLength is how many hashes are sorted in memory: 32 MiB.
const runLength = 4 << 20

// sorter sorts hashes in bounded memory: it writes sorted runs to a temporary file and merges them.
type sorter struct {
	length int // of a run
	buffer []uint64
	runs   []int64 // lengths
	spill  *os.File
}

// newSorter returns a sorter whose temporary file is in a directory. The file is deleted as soon as it is open, where the system can do that: a
// killed process leaves nothing.
func newSorter(directory string, length int) (*sorter, error) {
	spill, err := os.CreateTemp(directory, ".password-list-*.tmp")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(spill.Name()) //nolint:gosec // the operator's directory. On Windows, close deletes the file
	// Not grown by append, which would need the memory twice. The system provides it when it is used.
	return &sorter{length: length, buffer: make([]uint64, 0, length), spill: spill}, nil
}

func (s *sorter) close() error {
	err := s.spill.Close()
	if removeErr := os.Remove(s.spill.Name()); !errors.Is(removeErr, os.ErrNotExist) { //nolint:gosec // as above
		err = errors.Join(err, removeErr)
	}
	return err
}

// add adds a hash.
func (s *sorter) add(hash uint64) error {
	s.buffer = append(s.buffer, hash)
	if len(s.buffer) < s.length {
		return nil
	}
	return s.endRun()
}

// endRun writes the hashes in memory as a sorted run.
func (s *sorter) endRun() error {
	slices.Sort(s.buffer)
	s.buffer = slices.Compact(s.buffer)
	out := bufio.NewWriterSize(s.spill, 1<<20)
	for _, hash := range s.buffer {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], hash)
		_, _ = out.Write(b[:]) // Flush returns the error
	}
	s.runs = append(s.runs, int64(len(s.buffer)))
	s.buffer = s.buffer[:0]
	return out.Flush()
}

// merge passes all hashes to yield in ascending order, each one once.
func (s *sorter) merge(ctx context.Context, yield func(uint64) error) error {
	if err := s.endRun(); err != nil {
		return err
	}
	s.buffer = nil
	var open runHeap
	var offset int64
	for _, length := range s.runs {
		r := &run{in: bufio.NewReaderSize(io.NewSectionReader(s.spill, offset, 8*length), 64<<10)}
		offset += 8 * length
		if more, err := r.next(); err != nil {
			return err
		} else if more {
			open = append(open, r)
		}
	}
	heap.Init(&open)
	var last uint64
	for count := 0; len(open) > 0; count++ {
		if count%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		least := open[0]
		if count == 0 || least.hash != last {
			if err := yield(least.hash); err != nil {
				return err
			}
		}
		last = least.hash
		more, err := least.next()
		switch {
		case err != nil:
			return err
		case more:
			heap.Fix(&open, 0)
		default:
			heap.Pop(&open)
		}
	}
	return nil
}

// run is a sorted run that is being merged.
type run struct {
	in   *bufio.Reader
	hash uint64 // the current one
}

// next reads the next hash; more is false at the end of the run.
func (r *run) next() (more bool, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r.in, b[:]); errors.Is(err, io.EOF) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	r.hash = binary.BigEndian.Uint64(b[:])
	return true, nil
}

// runHeap has the run with the least current hash first.
type runHeap []*run

func (h *runHeap) Len() int           { return len(*h) }
func (h *runHeap) Less(i, j int) bool { return cmp.Less((*h)[i].hash, (*h)[j].hash) }
func (h *runHeap) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *runHeap) Push(x any)         { *h = append(*h, x.(*run)) } //nolint:forcetypeassert // only runs are pushed
func (h *runHeap) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	*h = (*h)[:last]
	return r
}
