package known

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	maxFalseRate = 1e-6
	checkEvery   = 1 << 16 // lines or hashes after which the context is checked
)

// Options say how Build reads its sources.
type Options struct {
	// SHA1 is for lines with SHA-1 hashes in hexadecimal, which a colon and a number of occurrences can follow: the single file of Have I Been
	// Pwned's downloader. Otherwise each line is a password.
	SHA1      bool
	MinLength int   // leaves out passwords with fewer code points; only without SHA1
	MinCount  int64 // leaves out hashes with fewer occurrences; only with SHA1

	Progress func(lines int64) // called every 10 million lines, unless nil
}

// Result is what Build did.
type Result struct {
	Lines     int64   // lines read, without empty ones
	LeftOut   int64   // lines left out because of MinLength or MinCount
	Unusable  int64   // lines that cannot be a password: not UTF-8, with control characters, too long
	Passwords int     // passwords in the list
	FalseRate float64 // probability that a password that is not in the list is refused
}

// Build writes the list of the passwords in sources to a file, which it creates or, if it is a password list, replaces. The file changes only when
// the list is complete. Build needs about 100 MB of memory for any size of the sources and, in the directory of the file, temporarily 8
// bytes for each password.
func Build(ctx context.Context, path string, sources []io.Reader, o Options) (Result, error) {
	return build(ctx, path, sources, o, runLength)
}

func build(ctx context.Context, path string, sources []io.Reader, o Options, run int) (result Result, err error) {
	if err := checkReplaceable(path); err != nil {
		return Result{}, err
	}
	sorted, err := newSorter(filepath.Dir(path), run)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, sorted.close()) }()
	reader := &reader{ctx: ctx, options: o, sorted: sorted}
	for _, source := range sources {
		if err := reader.readAll(source); err != nil {
			return Result{}, err
		}
	}
	result = reader.result
	added := int(result.Lines - result.LeftOut - result.Unusable)
	if added == 0 {
		return result, errors.New("there is no password in the input")
	}
	h := header{width: widthFor(added, o.SHA1), exact: o.SHA1}

	out, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return Result{}, err
	}
	defer os.Remove(out.Name()) //nolint:errcheck // after the rename there is none
	if h.count, err = writeList(ctx, out, h, sorted); err != nil {
		return Result{}, errors.Join(err, out.Close())
	}
	// The service often runs as another user than the one who builds the list, and a list is no secret.
	if err := errors.Join(out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return Result{}, err
	}
	if err := os.Rename(out.Name(), path); err != nil { //nolint:gosec // the operator's path
		return Result{}, err
	}
	result.Passwords, result.FalseRate = h.count, falseRate(h.count, h.width, h.exact)
	return result, nil
}

// widthFor returns how many bytes each hash must have in a list of this size.
func widthFor(count int, exact bool) int {
	width := 1
	for width < maxWidth && falseRate(count, width, exact) >= maxFalseRate {
		width++
	}
	return width
}

// checkReplaceable returns an error if Build must not write to a path: an operator who mixes up input and output keeps the input.
func checkReplaceable(path string) error {
	file, err := os.Open(path) //nolint:gosec // the operator chose the file
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(file, start); err != nil || string(start) != magic {
		return fmt.Errorf("%s exists and is not a password list", path)
	}
	return nil
}

// writeList writes a list and returns how many hashes it has.
func writeList(ctx context.Context, file *os.File, h header, sorted *sorter) (count int, err error) {
	out := bufio.NewWriterSize(file, 1<<20)
	_, _ = out.Write(h.bytes()) // without the number of hashes, which is not known yet
	var last uint64
	err = sorted.merge(ctx, func(hash uint64) error {
		hash >>= 64 - 8*h.width
		if h.count > 0 && hash == last {
			return nil
		}
		last = hash
		h.count++
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], hash)
		_, err := out.Write(b[8-h.width:])
		return err
	})
	if err := errors.Join(err, out.Flush()); err != nil {
		return 0, err
	}
	if _, err := file.WriteAt(h.bytes(), 0); err != nil {
		return 0, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	sum := newChecksum()
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{file}, make([]byte, 1<<20)); err != nil { // which is at the end then
		return 0, err
	}
	_, err = file.Write(sum.Sum(nil))
	return h.count, err
}
