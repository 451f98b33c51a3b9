package main

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
)

// TestMemoryLimit checks the formula of the memory limit.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ minimum, live, want int64 }{
		{100, 0, 100},
		{100, 100, 100},
		{100, 300, 400}, // half of the excess is added
	} {
		if got := memoryLimit(c.minimum, c.live); got != c.want {
			t.Errorf("memoryLimit(%d, %d) = %d, want %d", c.minimum, c.live, got, c.want)
		}
	}
}

// TestLiveMemory checks that live memory is counted, and garbage is not.
func TestLiveMemory(t *testing.T) { //nolint:paralleltest // it measures the process
	const size = 64 << 20
	runtime.GC()
	before := liveMemory()
	held := make([]byte, size)
	runtime.GC()
	with := liveMemory()
	runtime.KeepAlive(held)
	runtime.GC()
	after := liveMemory()
	if near := func(a, b int64) bool { return math.Abs(float64(a-b)) < 8<<20 }; !near(with, before+size) || !near(after, before) {
		t.Errorf("%d bytes live, with %d more %d, and afterwards %d", before, size, with, after)
	}
}

// TestGOMEMLIMITIsKept checks that a limit that the operator set is not changed.
func TestGOMEMLIMITIsKept(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1GiB")
	before := debug.SetMemoryLimit(-1)
	adjustMemoryLimit(t.Context(), 2)
	if after := debug.SetMemoryLimit(-1); after != before {
		t.Errorf("the limit was %d and is %d", before, after)
	}
}

// TestHashingSlots checks that there is one hashing slot for each core, if the memory limits allow it.
func TestHashingSlots(t *testing.T) {
	t.Parallel()
	const none, mib = int64(math.MaxInt64), int64(1 << 20)
	for _, c := range []struct {
		cores     int
		hardLimit int64
		softLimit int64
		want      int
	}{
		{10, none, none, 10},
		{10, 512 * mib, none, 7}, // deploy/systemd
		{2, 256 * mib, none, 2},  // deploy/compose, deploy/kubernetes
		{64, 256 * mib, none, 2},
		{64, none, 512 * mib, 10},
		{64, 256 * mib, 512 * mib, 2},
		{4, 64 * mib, none, 1}, // too little memory: the service starts with one slot
		{4, none, 10 * mib, 1},
		{1, none, none, 1},
	} {
		if got := hashingSlots(c.cores, c.hardLimit, c.softLimit); got != c.want {
			t.Errorf("%d cores, %d and %d bytes: %d slots, want %d", c.cores, c.hardLimit, c.softLimit, got, c.want)
		}
	}
}

// TestContainerMemory checks that the smallest limit of the control groups above the process is used, for both versions of cgroups.
func TestContainerMemory(t *testing.T) {
	t.Parallel()
	const none = int64(math.MaxInt64)
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no control groups":      {nil, none},
		"systemd's MemoryMax":    {map[string]string{"proc/self/cgroup": "0::/system.slice/x.service\n", "sys/fs/cgroup/system.slice/x.service/memory.max": "536870912\n"}, 536870912},
		"systemd's MemoryHigh":   {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "200\n", "sys/fs/cgroup/a/memory.high": "100\n"}, 100},
		"its slice has less":     {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "100\n", "sys/fs/cgroup/a/b/memory.max": "200\n"}, 100},
		"a container of its own": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "300\n"}, 300},
		"the host's path":        {map[string]string{"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/memory.max": "300\n"}, 300},
		"no limit":               {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, none},
		"version 1":              {map[string]string{"proc/self/cgroup": "12:cpu,cpuacct:/y\n5:memory:/docker/abc\n", "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "400\n"}, 400},
		"version 1, in its own":  {map[string]string{"proc/self/cgroup": "5:memory:/docker/abc\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "400\n"}, 400},
		"version 1, no limit":    {map[string]string{"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 9223372036854771712},
		"not a number":           {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "-1\n"}, none},
		"an unknown line":        {map[string]string{"proc/self/cgroup": "nonsense\n\n0::/\n", "sys/fs/cgroup/memory.max": "5\n"}, 5},
	} {
		root := t.TempDir()
		for file, content := range c.files {
			path := filepath.Join(root, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if got := containerMemory(root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
