package netlab

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// namesDir is where ip-netns(8) keeps the names of namespaces.
	namesDir = "/run/netns"
	// cleanupTime bounds how long removing one lab may take. Ours.
	cleanupTime = 30 * time.Second
)

// Lab holds the namespaces of one test.
type Lab struct {
	t      testing.TB
	prefix string
	self   *Namespace
	count  atomic.Int64
}

// New prepares a lab whose namespaces vanish with the test, also when it
// fails. It skips the test where labs cannot be built.
func New(tb testing.TB) *Lab {
	tb.Helper()
	Require(tb)
	mine := fmt.Sprintf("nl%08x", crc32.ChecksumIEEE([]byte(strings.Join(os.Args[:1], "")+"\x00"+tb.Name())))
	removeLeftovers(tb, mine)
	return &Lab{t: tb, prefix: fmt.Sprintf("%s-%d-%d", mine, os.Getpid(), serial())}
}

// serial tells apart several labs of one test.
func serial() int64 { return time.Now().UnixNano() % 1e6 }

// removeLeftovers deletes the namespaces of an earlier run of the same test
// whose process is dead.
func removeLeftovers(tb testing.TB, mine string) {
	tb.Helper()
	found, _ := filepath.Glob(filepath.Join(namesDir, mine+"-*"))
	for _, path := range found {
		name := filepath.Base(path)
		pid, err := strconv.Atoi(strings.SplitN(strings.TrimPrefix(name, mine+"-"), "-", 2)[0])
		if err != nil || alive(pid) {
			continue
		}
		tb.Logf("netlab: removing %s, left behind by an earlier run", name)
		remove(tb, name)
	}
}

func alive(pid int) bool {
	_, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
	return err == nil
}

// Namespace makes a namespace. The role is the last part of its name.
func (l *Lab) Namespace(role string) *Namespace {
	l.t.Helper()
	n := &Namespace{Name: l.prefix + "-" + role, t: l.t}
	run(l.t, "ip", "netns", "add", n.Name)
	l.t.Cleanup(func() { remove(l.t, n.Name) })
	n.Run("ip", "link", "set", "lo", "up")
	return n
}

// Self returns the namespace that this process lives in, after Isolate.
func (l *Lab) Self() *Namespace {
	l.t.Helper()
	if l.self == nil {
		l.t.Fatal("netlab: Self without Isolate")
	}
	return l.self
}

// remove kills what still runs in a namespace that this package made, and
// deletes it.
func remove(tb testing.TB, name string) {
	tb.Helper()
	ctx, stop := context.WithTimeout(context.Background(), cleanupTime)
	defer stop()
	if pids, err := exec.CommandContext(ctx, "ip", "netns", "pids", name).Output(); err == nil {
		for pid := range strings.FieldsSeq(string(pids)) {
			if n, err := strconv.Atoi(pid); err == nil && n != os.Getpid() {
				tb.Logf("netlab: killing process %d, which outlived its test in %s", n, name)
				kill(n)
			}
		}
	}
	if out, err := exec.CommandContext(ctx, "ip", "netns", "delete", name).CombinedOutput(); err != nil {
		tb.Errorf("netlab: delete %s: %v: %s", name, err, out)
	}
}

func kill(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

// run executes a command in the namespace of this process.
func run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("netlab: %s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
