package procs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: sysconf(_SC_CLK_TCK) is 100 on every architecture that Linux has
// today, proc(5).
const clockTick = 10 * time.Millisecond

// Fields of /proc/PID/stat as proc(5) numbers them, counted from the state, which is field 3 and the first one behind
// the name in parentheses.
const (
	fieldPPID  = 4 - 3
	fieldUser  = 14 - 3 // own user time; 15: own system time; 16, 17: the same of children that were waited for
	fieldsRead = 18 - 3
)

// Usage is what a process and its descendants have used.
type Usage struct {
	CPU  time.Duration // user and system, children that have ended included
	Peak int64         // bytes: sum of the processes' highest resident sizes, an upper bound of their highest sum
	Each []Process     // roots first
}

// Process is one of them.
type Process struct {
	PID  int
	Name string // the first argument without its directory
	CPU  time.Duration
	Peak int64 // bytes
}

// Since is the CPU time of each process since an earlier sample, and their sum. What has ended since is left out.
func (u Usage) Since(before Usage) Usage {
	out := Usage{Peak: u.Peak}
	for _, p := range u.Each {
		for _, q := range before.Each {
			if q.PID == p.PID {
				p.CPU -= q.CPU
			}
		}
		out.CPU += p.CPU
		out.Each = append(out.Each, p)
	}
	return out
}

// Sample sums up the roots and everything that descends from them.
func Sample(roots ...int) (Usage, error) {
	all, err := table()
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	for _, root := range roots {
		if _, ok := all[root]; !ok {
			return Usage{}, fmt.Errorf("process %d is gone", root)
		}
	}
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		if slices.ContainsFunc(u.Each, func(p Process) bool { return p.PID == pid }) {
			continue
		}
		p := Process{PID: pid, Name: name(pid), CPU: all[pid].cpu, Peak: peak(pid)}
		u.Each = append(u.Each, p)
		u.CPU += p.CPU
		u.Peak += p.Peak
		for child, p := range all {
			if p.parent == pid {
				queue = append(queue, child)
			}
		}
	}
	return u, nil
}

type process struct {
	parent int
	cpu    time.Duration
}

// table reads every process there is; one that ends meanwhile is left out.
func table() (map[int]process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := make(map[int]process, len(paths))
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if p, ok := parseStat(b); ok {
			all[pid] = p
		}
	}
	return all, nil
}

// parseStat reads one line of /proc/PID/stat. The name may hold spaces and parentheses, so it ends at the last one.
func parseStat(b []byte) (process, bool) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return process{}, false
	}
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < fieldsRead {
		return process{}, false
	}
	parent, err := strconv.Atoi(fields[fieldPPID])
	if err != nil {
		return process{}, false
	}
	p := process{parent: parent}
	for _, f := range fields[fieldUser:fieldsRead] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return process{}, false
		}
		p.cpu += time.Duration(ticks) * clockTick
	}
	return p, true
}

// name is what the process was started as, empty when it is gone.
func name(pid int) string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(b), "\x00")
	return filepath.Base(first)
}

// peak is the highest resident size so far in bytes, 0 when the process is gone.
func peak(pid int) int64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		value, found := strings.CutPrefix(line, "VmHWM:")
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return 0
}
