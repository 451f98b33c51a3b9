package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
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
