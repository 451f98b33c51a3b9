package mail

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// reply is the relay's reply to a command (RFC 5321, section 4.2). net/textproto is stricter than SMTP: it refuses a line that consists of
// a code alone.
type reply struct {
	code  int
	lines []string // the text after the code of each line, which may be empty
}

// maxReply is the longest reply that is read. RFC 5321 allows 512 bytes in a line; some relays send more.
const maxReply = 64 << 10

// readReply reads one reply of one or more lines. If the codes of the lines differ, which RFC 5321 forbids, the last one counts.
func readReply(r *bufio.Reader) (reply, error) {
	var got reply
	for left := maxReply; ; {
		line, err := readLine(r, left)
		if err != nil {
			return reply{}, err
		}
		left -= len(line) + 1
		code, more, text, ok := parseReplyLine(line)
		switch {
		case ok:
			got.code = code
			got.lines = append(got.lines, text)
		case got.code == 0:
			return reply{}, fmt.Errorf("not an SMTP reply: %q", line[:min(len(line), 80)])
		default: // text without a code within a reply of several lines
			got.lines = append(got.lines, line)
			continue
		}
		if !more {
			return got, nil
		}
	}
}

// readLine reads a line of at most limit bytes and returns it without its line end. A line without a line end is an error.
func readLine(r *bufio.Reader, limit int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return "", errors.New("the reply is too long")
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		default:
			return strings.TrimRight(string(line), "\r\n"), nil
		}
	}
}

// parseReplyLine parses one line of a reply: three digits, then nothing, or a space and text, or a hyphen and text if more lines follow.
func parseReplyLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(rune(line[1])) || !isDigit(rune(line[2])) {
		return 0, false, "", false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, "", true
	}
	switch line[3] {
	case '-':
		more = true
	case ' ', '\t':
	default:
		return 0, false, "", false
	}
	return code, more, line[4:], true
}

// text returns the text of all lines.
func (r reply) text() string { return strings.Join(r.lines, "\n") }

// class returns the first digit of the code. RFC 5321, section 4.3.2, requires clients to rely on it.
func (r reply) class() int { return r.code / 100 }

var enhancedCode = regexp.MustCompile(`^([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:[ \t]|$)`)

// enhanced returns the subject and the detail of the enhanced status code (RFC 2034, RFC 3463). It is not ok if there is none, if its class
// differs from the code's, or if its subject is 0, which is unspecific.
func (r reply) enhanced() (subject, detail int, ok bool) {
	if len(r.lines) == 0 {
		return 0, 0, false
	}
	m := enhancedCode.FindStringSubmatch(strings.TrimLeft(r.lines[0], " \t"))
	if len(m) == 0 || m[1] != strconv.Itoa(r.class()) {
		return 0, 0, false
	}
	subject, _ = strconv.Atoi(m[2])
	detail, _ = strconv.Atoi(m[3])
	return subject, detail, subject != 0
}

// replyError is an unexpected reply.
type replyError struct{ reply }

func (e *replyError) Error() string {
	return strings.TrimRight(fmt.Sprintf("%03d %s", e.code, e.text()), " ")
}

// expect returns a replyError unless the reply is of a class.
func (r reply) expect(class int) error {
	if r.class() != class {
		return &replyError{r}
	}
	return nil
}
