package cgroup

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// setting is one file of a group.
type setting struct {
	file, value string
	optional    bool // some kernels do not have it
}

// period is how often processor time is counted anew, in microseconds: the kernel's default.
const period = 100_000

// settings are the files of one place that make up the limits (cgroup-v2 and cgroup-v1 in the kernel's
// admin-guide). Memory comes before what includes it.
func settings(at place, l Limits) []setting {
	var out []setting
	if l.Memory > 0 && slices.Contains(at.controllers, memory) {
		out = append(out, memorySettings(at.version, strconv.FormatInt(l.Memory, 10))...)
	}
	if l.PIDs > 0 && slices.Contains(at.controllers, pids) {
		out = append(out, setting{file: "pids.max", value: strconv.Itoa(l.PIDs)})
	}
	if l.CPU > 0 && slices.Contains(at.controllers, cpu) {
		quota := int64(math.Ceil(l.CPU * period))
		out = append(out, cpuSettings(at.version, max(quota, 1000))...) // the kernel's least is a millisecond
	}
	return out
}

func memorySettings(version int, bytes string) []setting {
	if version == 1 {
		return []setting{
			{file: "memory.limit_in_bytes", value: bytes},
			{file: "memory.memsw.limit_in_bytes", value: bytes, optional: true},
		}
	}
	return []setting{
		{file: "memory.max", value: bytes},
		{file: "memory.swap.max", value: "0", optional: true},
		{file: "memory.oom.group", value: "1", optional: true},
	}
}

func cpuSettings(version int, quota int64) []setting {
	if version == 1 {
		return []setting{
			{file: "cpu.cfs_period_us", value: strconv.Itoa(period)},
			{file: "cpu.cfs_quota_us", value: strconv.FormatInt(quota, 10)},
		}
	}
	return []setting{{file: "cpu.max", value: fmt.Sprintf("%d %d", quota, period)}}
}
