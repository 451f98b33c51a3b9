package hostile

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

const maxBody = 16 << 10

// bodyAttacks are the list N-B: sizes, and bodies that are not as long as they say. Framing that two readers could take for two
// different requests is tested where the framing is.
func bodyAttacks(t *testing.T, op operation) []attack {
	t.Helper()
	sized := func(name string, size int, want ...int) attack {
		return op.byDead(t, name, func(_ *world, r *request) {
			r.body += strings.Repeat(" ", size-len(r.body))
		}).refused(want...)
	}
	ok := []int{200, 204, 400, 404}
	all := []attack{
		sized("exactly 16 KiB", maxBody, ok...), sized("one byte more", maxBody+1, 413), sized("1 MiB", 1<<20, 413),
		op.byDead(t, "a length of 1 TiB", func(_ *world, r *request) { r.header["Content-Length"] = []string{"1099511627776"} }).refused(413),
		op.byDead(t, "a length beyond int64", func(_ *world, r *request) { r.header["Content-Length"] = []string{"99999999999999999999"} }).refused(400),
		op.byDead(t, "shorter than it says", func(_ *world, r *request) {
			r.header["Content-Length"] = []string{strconv.Itoa(len(r.body) + 5)}
			r.halfClose = true
		}).refused(400, 404),
		op.byDead(t, "nothing where it says 5", func(_ *world, r *request) {
			r.body, r.header["Content-Length"], r.halfClose = "", []string{"5"}, true
		}).refused(400, 404),
		op.byDead(t, "in chunks", func(_ *world, r *request) { chunk(r, 7) }),
		op.byDead(t, "in chunks of one byte", func(_ *world, r *request) { chunk(r, 1) }),
		op.byDead(t, "in chunks, cut", func(_ *world, r *request) {
			chunk(r, 7)
			r.body, r.halfClose = "5\r\nabc", true
		}).refused(400, 404),
		op.byDead(t, "16 KiB and a byte in chunks", func(_ *world, r *request) {
			r.body += strings.Repeat(" ", maxBody+1-len(r.body))
			chunk(r, 1000)
		}).refused(413),
		op.byDead(t, "an endless chunk", func(_ *world, r *request) {
			r.header["Transfer-Encoding"] = []string{"chunked"}
			r.body = "7fffffffffffffff\r\n" + strings.Repeat("a", 4<<20)
		}).refused(413),
		op.byDead(t, "100-continue", func(_ *world, r *request) { r.header["Expect"] = []string{"100-continue"} }),
	}
	if op.body != nil {
		all = append(all,
			op.byDead(t, "no length", func(_ *world, r *request) { r.body = "" }).refused(400),
			op.byDead(t, "multipart", func(_ *world, r *request) {
				r.header["Content-Type"] = []string{"multipart/form-data; boundary=b"}
				r.body = "--b\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\ncanary@example.com\r\n--b--\r\n"
			}).refused(400),
			op.byDead(t, "a form", func(_ *world, r *request) {
				r.header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
				r.body = "email=canary%40example.com&password=canary"
			}).refused(400),
			op.byDead(t, "the body in the query", func(_ *world, r *request) {
				r.target, r.body = r.target+"?email=canary@example.com&sessionID=x&refreshToken=canary", ""
			}).refused(400),
		)
	}
	return all
}

// chunk sends a request's body in chunks of a size.
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
