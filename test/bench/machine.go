package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/sluice-gateway/sluice/test/bench/procs"
	"github.com/sluice-gateway/sluice/test/bench/sheet"
)

// conditions are what a figure means nothing without.
type conditions struct {
	lines   []string
	tls     string
	buffers string
	shape   string
}

// fsNames are the file systems that are met in practice, statfs(2).
var fsNames = map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x794c7630: "overlay"}

func setup(ctx context.Context, o options, l *lab) *conditions {
	c := &conditions{}
	add := func(format string, args ...any) { c.lines = append(c.lines, fmt.Sprintf(format, args...)) }
	add("machine: %s, %d cores, %s, load average at the start %s", sheet.CPUModel(), runtime.NumCPU(), sheet.FirstLine(sheet.ReadFile("/proc/sys/kernel/osrelease")), sheet.LoadAverage())
	add("disk: %s; sluice syncs before it acknowledges and before its sink does, rsyslog does not", fileSystem(l.root))
	add("writing 1 GB to a new file costs this machine %s of CPU time: a virtual machine may pay for the first use of memory", writeCost(l.root))
	add("versions: %s, %s; this program %s", version(ctx, l.bin+"/sluice", "version"), version(ctx, l.rsyslogd, "-v"), runtime.Version())
	add("privilege: %s, net.core.rmem_max %s", privilege(), sheet.FirstLine(sheet.ReadFile("/proc/sys/net/core/rmem_max")))
	add("link: UDP over lo between two processes, MTU of frames 1500 (interface %s), rate %s, parity 25%% at least, no loss injected", sheet.FirstLine(sheet.ReadFile("/sys/class/net/lo/mtu")), o.linkRate)
	add("load: %d messages of 280 bytes (RFC 5424, octet counting) per round over %d TLS connection(s) in writes of 16 KiB; seed %d", o.count, o.connections, o.seed)
	add("datagrams: %d per second of 280 bytes for %v; times: %d messages per second for %v, one per write", o.udpRate, o.udpFor, o.latencyRate, o.latencyFor)
	add("CPU time: user and system of every process of a side from /proc/PID/stat, plugins included, from ready to the last line; memory: sum of VmHWM")
	add("the generator and the comparison of lines run on the same cores and are not counted")
	return c
}

// note keeps what is known only once a side runs.
func (c *conditions) note(r round) {
	if r.sent.TLS != "" {
		c.tls = r.sent.TLS
	}
	if r.figures.buffers != "" {
		c.buffers, c.shape = r.figures.buffers, r.figures.shape
	}
}

func (c *conditions) text() string { return strings.Join(c.all(), "\n") + "\n" }

func (c *conditions) all() []string {
	out := c.lines
	for _, x := range []struct{ name, value string }{{"TLS", c.tls}, {"receive buffers granted", c.buffers}, {"error correction of full blocks", c.shape}} {
		if x.value != "" {
			out = append(slices.Clip(out), x.name+": "+x.value)
		}
	}
	return out
}

func privilege() string {
	if os.Geteuid() == 0 {
		return "root, in a network namespace of its own; the nodes keep what docs/guard.md says and get their buffers from a warden"
	}
	return "none"
}

func fileSystem(path string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return "unknown"
	}
	if name, ok := fsNames[int64(st.Type)]; ok { //nolint:unconvert // the type differs between architectures
		return name
	}
	return fmt.Sprintf("file system %#x", st.Type)
}

// calibration is how much writeCost writes: enough for a clock that ticks a hundred times a second.
const calibration = 256 << 20

// writeCost measures what the page cache costs here, in CPU seconds per GB. Sluice writes each payload four times
// (two spools, and a file in which a record is twice as long), rsyslog once, so it is part of every comparison.
func writeCost(dir string) string {
	f, err := os.CreateTemp(dir, "write")
	if err != nil {
		return "unknown"
	}
	defer os.Remove(f.Name()) //nolint:errcheck // the whole directory goes at the end
	defer f.Close()           //nolint:errcheck // nothing in it is wanted
	before, err := procs.Sample(os.Getpid())
	if err != nil {
		return "unknown"
	}
	chunk := make([]byte, 256<<10)
	for range calibration / len(chunk) {
		if _, err := f.Write(chunk); err != nil {
			return "unknown"
		}
	}
	after, err := procs.Sample(os.Getpid())
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.2f s", (after.CPU-before.CPU).Seconds()/(calibration/1e9))
}

// version asks a program what it is. What rsyslogd says goes on with a list in further lines.
func version(ctx context.Context, program, arg string) string {
	if program == "" {
		return "rsyslog is not installed: no yardstick"
	}
	b, err := exec.CommandContext(ctx, program, arg).Output()
	if err != nil {
		return program + ": version unknown"
	}
	line := strings.Join(strings.Fields(sheet.FirstLine(string(b))), " ")
	return strings.TrimSuffix(line, " compiled with:")
}
