package hostile

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

const maxBody = 16 << 10

// bodyAttacks returns bodies at and over the size limit, and bodies that do not have their declared length. Ambiguous framing has its own test
// (test/contract.TestFraming).
func bodyAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	sized := func(name string, size int, want ...int) attack {
		return op.variant(t, name, func(_ *environment, r *request) {
			r.body += strings.Repeat(" ", size-len(r.body))
		}).expect(want...)
	}
	ok := []int{200, 204, 400, 403, 404, 409}
	all := []attack{
		sized("exactly 16 KiB", maxBody, ok...), sized("one byte more", maxBody+1, 413), sized("1 MiB", 1<<20, 413),
		op.variant(t, "a length of 1 TiB", func(_ *environment, r *request) { r.header["Content-Length"] = []string{"1099511627776"} }).expect(413),
		op.variant(t, "a length beyond int64", func(_ *environment, r *request) { r.header["Content-Length"] = []string{"99999999999999999999"} }).expect(400),
		op.variant(t, "shorter than its length", func(_ *environment, r *request) {
			r.header["Content-Length"] = []string{strconv.Itoa(len(r.body) + 5)}
			r.halfClose = true
		}).expect(400, 404),
		op.variant(t, "no body with a length of 5", func(_ *environment, r *request) {
			r.body, r.header["Content-Length"], r.halfClose = "", []string{"5"}, true
		}).expect(400, 404),
		op.variant(t, "in chunks", func(_ *environment, r *request) { chunk(r, 7) }),
		op.variant(t, "in chunks of one byte", func(_ *environment, r *request) { chunk(r, 1) }),
		op.variant(t, "in chunks, truncated", func(_ *environment, r *request) {
			chunk(r, 7)
			r.body, r.halfClose = "5\r\nabc", true
		}).expect(400, 404),
		op.variant(t, "16 KiB and a byte in chunks", func(_ *environment, r *request) {
			r.body += strings.Repeat(" ", maxBody+1-len(r.body))
			chunk(r, 1000)
		}).expect(413),
		op.variant(t, "an endless chunk", func(_ *environment, r *request) {
			r.header["Transfer-Encoding"] = []string{"chunked"}
			r.body = "7fffffffffffffff\r\n" + strings.Repeat("a", 4<<20)
		}).expect(413),
		op.variant(t, "100-continue", func(_ *environment, r *request) { r.header["Expect"] = []string{"100-continue"} }),
	}
	if op.body != nil {
		all = append(all,
			op.variant(t, "no length", func(_ *environment, r *request) { r.body = "" }).expect(400),
			op.variant(t, "multipart", func(_ *environment, r *request) {
				r.header["Content-Type"] = []string{"multipart/form-data; boundary=b"}
				r.body = "--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\ncanary@example.com\r\n--b--\r\n"
			}).expect(400),
			op.variant(t, "a form", func(_ *environment, r *request) {
				r.header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
				r.body = "email=canary%40example.com&password=canary"
			}).expect(400),
			op.variant(t, "the body in the query", func(_ *environment, r *request) {
				separator := "?"
				if strings.Contains(r.target, "?") {
					separator = "&"
				}
				r.target, r.body = r.target+separator+"email=canary@example.com&sessionID=x&refreshToken=canary&newPassword=canary", ""
			}).expect(400),
		)
	}
	return all
}

// chunk changes a request to send its body in chunks of the given size.
func chunk(r *request, size int) {
	r.header["Transfer-Encoding"] = []string{"chunked"}
	var b strings.Builder
	for rest := r.body; rest != ""; {
		n := min(size, len(rest))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	r.body = b.String() + "0\r\n\r\n"
}
