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
	// besidesHashes is what the service needs beside the hashes, as Go's runtime counts it, with room for garbage.
	besidesHashes = 24 << 20

	memoryLookEvery = time.Second
)

// keepMemory keeps the runtime from holding much more memory than is alive, until ctx ends. Left to itself it holds the room of
// hashes that are over: in a flood of log-ins on 2 cores 177 MiB instead of 140 MiB. Whoever sets GOMEMLIMIT decides himself.
func keepMemory(ctx context.Context, slots int) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	least := besidesHashes + int64(slots)*int64(password.DefaultParams().Memory)<<10
	tick := time.NewTicker(memoryLookEvery)
	defer tick.Stop()
	for {
		debug.SetMemoryLimit(memoryLimit(least, aliveMemory()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// memoryLimit is least, until more than that is alive: then there is room for half of the excess as garbage, or the runtime would
// do nothing but collect.
func memoryLimit(least, alive int64) int64 {
	return max(least, alive+(alive-least)/2)
}

// aliveMemory is what was alive at the last collection, and what the runtime needs besides, in bytes.
func aliveMemory() int64 {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		// Of the total: what is not used, and in place of what is live now and not any more, what was live then.
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	alive := int64(samples[0].Value.Uint64()) + int64(samples[1].Value.Uint64()) //nolint:gosec // no machine has so much
	for _, s := range samples[2:] {
		alive -= int64(s.Value.Uint64()) //nolint:gosec // as above
	}
	return alive
}

// hashingSlots is how many passwords are hashed at a time: one for each core, as far as there is memory for it. inContainer is the
// limit that kills, soft is GOMEMLIMIT; a limit of math.MaxInt64 is none.
func hashingSlots(cores int, inContainer, soft int64) int {
	const (
		besides   = 50 << 20  // what the service needs beside the hashes, as the operating system counts it
		headroom  = 100 << 20 // before the operating system kills it: docs/operations.md
		forOthers = besides + headroom
	)
	hash := int64(password.DefaultParams().Memory) << 10
	fitting := min((inContainer-forOthers)/hash, (soft-besides)/hash)
	return int(max(1, min(int64(cores), fitting)))
}

// containerMemory is the memory that the process's control group and those above it may use, in bytes; math.MaxInt64 if there is
// no limit. It reads versions 2 and 1 under root where they are mounted everywhere: systemd and container engines set the limits.
func containerMemory(root string) int64 {
	least := int64(math.MaxInt64)
	groups, err := os.ReadFile(filepath.Join(root, "proc", "self", "cgroup")) //nolint:gosec // a file of the kernel's
	if err != nil {
		return least
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
		// In a container the path may be the host's, which is not there: then only the last step, the mount itself, is found.
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			for _, file := range files {
				least = min(least, readLimit(filepath.Join(root, mount, group, "memory."+file)))
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}

// readLimit reads a limit in bytes. "max", a missing file and what is more than any machine has (version 1 writes it) are none.
func readLimit(file string) int64 {
	content, err := os.ReadFile(file) //nolint:gosec // a file of the kernel's
	if err != nil {
		return math.MaxInt64
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil || limit <= 0 {
		return math.MaxInt64
	}
	return limit
}
