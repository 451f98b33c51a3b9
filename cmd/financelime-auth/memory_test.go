package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ least, alive, want int64 }{
		{100, 0, 100},
		{100, 100, 100},
		{100, 300, 400}, // half of the excess is room
	} {
		if got := memoryLimit(c.least, c.alive); got != c.want {
			t.Errorf("memoryLimit(%d, %d) = %d, want %d", c.least, c.alive, got, c.want)
		}
	}
}

// What is alive counts, garbage does not.
func TestAliveMemory(t *testing.T) { //nolint:paralleltest // it measures the process
	const size = 64 << 20
	runtime.GC()
	before := aliveMemory()
	held := make([]byte, size)
	runtime.GC()
	with := aliveMemory()
	runtime.KeepAlive(held)
	runtime.GC()
	after := aliveMemory()
	if near := func(a, b int64) bool { return math.Abs(float64(a-b)) < 8<<20 }; !near(with, before+size) || !near(after, before) {
		t.Errorf("%d bytes alive, with %d more %d, and afterwards %d", before, size, with, after)
	}
}

// GOMEMLIMIT is the operator's.
func TestGOMEMLIMITStays(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1GiB")
	before := debug.SetMemoryLimit(-1)
	keepMemory(t.Context(), 2)
	if after := debug.SetMemoryLimit(-1); after != before {
		t.Errorf("the limit was %d and is %d", before, after)
	}
}
