package known

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	maxLine       = 4096
	maxCodePoints = 256 // of a password that can be chosen
	sampleLines   = 10  // after how many lines the format of the input is certain
	progressLines = 10_000_000
)

// reader reads the sources of a list.
type reader struct {
	ctx     context.Context
	options Options
	sorted  *sorter
	result  Result
	hashes  int64 // how many of the first lines look like hashes
	digits  int   // of these hashes
}

// readAll reads a source line by line.
func (r *reader) readAll(source io.Reader) error {
	in := bufio.NewReaderSize(source, 1<<20)
	for first := true; ; first = false {
		line, tooLong, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if first {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) > 0 {
			if err := r.add(line, tooLong); err != nil {
				return fmt.Errorf("line %d: %w", r.result.Lines, err)
			}
		}
		if err != nil {
			return r.checkFormat()
		}
	}
}

// readLine returns the next line without its end. Of a line that is too long it returns nothing that matters.
func readLine(in *bufio.Reader) (line []byte, tooLong bool, err error) {
	line, err = in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		return []byte("?"), true, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	return line, tooLong || len(line) > maxLine, err
}

// add adds the password or the hash in a line.
func (r *reader) add(line []byte, tooLong bool) error {
	r.result.Lines++
	if r.result.Lines%checkEvery == 0 && r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if r.options.Progress != nil && r.result.Lines%progressLines == 0 {
		r.options.Progress(r.result.Lines)
	}
	if r.options.SHA1 {
		return r.addHash(line)
	}
	if r.result.Lines <= sampleLines {
		digits, _, _ := bytes.Cut(line, []byte(":"))
		if _, err := hex.DecodeString(string(digits)); err == nil && (r.digits == 0 || r.digits == len(digits)) {
			r.hashes, r.digits = r.hashes+1, len(digits)
		}
	}
	if r.result.Lines == sampleLines {
		if err := r.checkFormat(); err != nil {
			return err
		}
	}
	if tooLong || !utf8.Valid(line) || bytes.ContainsFunc(line, unicode.IsControl) {
		r.result.Unusable++
		return nil
	}
	password := norm.NFC.String(string(line))
	switch length := utf8.RuneCountInString(password); {
	case length > maxCodePoints:
		r.result.Unusable++
		return nil
	case length < r.options.MinLength:
		r.result.LeftOut++
		return nil
	}
	return r.sorted.add(hashPrefix([]byte(lower(password))))
}

// checkFormat returns an error if the lines are hashes, but were to be read as passwords: nothing would ever be found in such a list.
func (r *reader) checkFormat() error {
	if r.options.SHA1 || r.hashes == 0 || r.hashes < min(sampleLines, r.result.Lines) {
		return nil
	}
	switch r.digits {
	case 40:
		return errors.New("the lines look like SHA-1 hashes: use --sha1")
	case 32, 64:
		return errors.New("the lines look like hashes other than SHA-1, which cannot be used: download the SHA-1 hashes, not the NTLM hashes")
	}
	return nil
}

// addHash adds a hash in hexadecimal, which a colon and a number of occurrences can follow.
func (r *reader) addHash(line []byte) error {
	digits, occurrences, counted := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
	var sum [20]byte
	switch n, err := hex.Decode(sum[:], digits[:min(len(digits), 2*len(sum))]); {
	case len(digits) == 35:
		return errors.New("is the end of a hash: download the hashes as a single file")
	case len(digits) == 32:
		return errors.New("is not a SHA-1 hash: download the SHA-1 hashes, not the NTLM hashes")
	case err != nil, n != len(sum), len(digits) != 2*len(sum):
		return errors.New("is not a SHA-1 hash in 40 hexadecimal digits")
	}
	if counted || r.options.MinCount > 0 {
		count, err := strconv.ParseInt(string(occurrences), 10, 64)
		if err != nil || count < 0 {
			return errors.New("has no number of occurrences after the hash")
		}
		if count < r.options.MinCount {
			r.result.LeftOut++
			return nil
		}
	}
	return r.sorted.add(prefixOf(sum))
}
