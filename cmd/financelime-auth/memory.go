package main

import (
	"context"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/financelime/authorization/impl/password"
)

const (
	// baseMemory is the memory that the service needs without hashes, as Go's runtime measures it, with room for garbage.
	baseMemory = 24 << 20

	memoryCheckInterval = time.Second
)

// adjustMemoryLimit adjusts Go's soft memory limit to live memory plus headroom, until ctx ends. Without it the runtime keeps the
// memory of finished hashes: 177 MiB instead of 140 MiB in a flood of logins on 2 cores. If the operator has set GOMEMLIMIT, it does
// nothing.
func adjustMemoryLimit(ctx context.Context, slots int) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	minimum := baseMemory + int64(slots)*int64(password.DefaultParams().Memory)<<10
	tick := time.NewTicker(memoryCheckInterval)
	defer tick.Stop()
	for {
		debug.SetMemoryLimit(memoryLimit(minimum, liveMemory()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// memoryLimit returns the memory limit in bytes: minimum, or more if more than minimum is live. Then half of the excess is added as
// room for garbage; otherwise the garbage collector would run all the time.
func memoryLimit(minimum, live int64) int64 {
	return max(minimum, live+(live-minimum)/2)
}

// liveMemory returns the bytes that were live at the last garbage collection, plus the runtime's own memory.
func liveMemory() int64 {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		// These are subtracted from the total: heap objects (the live ones are counted by the first sample), and unused memory.
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	live := int64(samples[0].Value.Uint64()) + int64(samples[1].Value.Uint64()) //nolint:gosec // no machine has so much memory
	for _, s := range samples[2:] {
		live -= int64(s.Value.Uint64()) //nolint:gosec // as above
	}
	return live
}

// hashingSlots returns how many passwords are hashed at the same time: one for each core, as far as memory allows, and at least one.
// hardLimit is the limit at which the operating system kills the process, softLimit is GOMEMLIMIT; math.MaxInt64 means no limit.
func hashingSlots(cores int, hardLimit, softLimit int64) int {
	const (
		base     = 50 << 20  // what the service needs without hashes, as the operating system measures it
		headroom = 100 << 20 // distance from the hard limit: docs/operations.md
	)
	hash := int64(password.DefaultParams().Memory) << 10
	slots := min((hardLimit-base-headroom)/hash, (softLimit-base)/hash)
	return int(max(1, min(int64(cores), slots)))
}

// containerMemory returns the memory limit in bytes of the process's control group and its parents, or math.MaxInt64 if there is none.
// systemd and container engines set such limits. It reads cgroup versions 2 and 1 at their usual mount points under root.
func containerMemory(root string) int64 {
	limit := int64(math.MaxInt64)
	groups, err := os.ReadFile(filepath.Join(root, "proc", "self", "cgroup")) //nolint:gosec // a kernel file
	if err != nil {
		return limit
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // 0::/system.slice/x.service, or 5:cpu,memory:/docker/x
		if len(fields) != 3 {
			continue
		}
		mount, files := "sys/fs/cgroup", []string{"max", "high"}
		if fields[1] != "" {
			if !slices.Contains(strings.Split(fields[1], ","), "memory") {
				continue
			}
			mount, files = "sys/fs/cgroup/memory", []string{"limit_in_bytes"}
		}
		// In a container the path may be the host's, which does not exist there. Then only the last step, the mount itself, has files.
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			for _, file := range files {
				limit = min(limit, readLimit(filepath.Join(root, mount, group, "memory."+file)))
			}
			if group == "/" {
				break
			}
		}
	}
	return limit
}

// readLimit reads a limit in bytes. It returns math.MaxInt64 for "max" and for a missing file. Version 1 writes a very large number
// for no limit.
func readLimit(file string) int64 {
	content, err := os.ReadFile(file) //nolint:gosec // a kernel file
	if err != nil {
		return math.MaxInt64
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil || limit <= 0 {
		return math.MaxInt64
	}
	return limit
}
