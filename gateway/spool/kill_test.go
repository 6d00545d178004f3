package spool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

// childDir names the environment variable that turns the test binary into a
// process that appends until it is killed.
const childDir = "SPOOL_TEST_CHILD_DIR"

func pid() int { return os.Getpid() }

func runChild() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	if err := appendForever(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// appendForever acknowledges each durable entry with a line on standard output.
func appendForever(dir string) error {
	l, err := spool.Open(dir, spool.Options{SegmentBytes: 256 << 10})
	if err != nil {
		return err
	}
	for i := uint64(0); ; i++ {
		err := l.AppendAsync(context.Background(), 3, func(seq uint64, err error) {
			if err == nil {
				_, _ = fmt.Println(seq)
			}
		}, []byte("entry "), fmt.Appendf(nil, "%d ", i), make([]byte, 3000+i%2000))
		if err != nil {
			return err
		}
	}
}

func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var epoch [16]byte
	for round := range 5 {
		last := killedChild(t, dir, 400+round*150)
		l := mustOpen(t, dir, spool.Options{SegmentBytes: 256 << 10})
		if round > 0 && l.Epoch() != epoch {
			t.Fatal("a killed process must not begin a new epoch")
		}
		epoch = l.Epoch()
		_, next, sum := l.Bounds()
		if next <= last {
			t.Fatalf("round %d: acknowledged %d, next is %d", round, last, next)
		}
		if sum != 3*(next-1) {
			t.Fatalf("round %d: sum %d after %d entries of weight 3", round, sum, next-1)
		}
		for seq := uint64(1); seq < next; seq++ {
			if _, err := l.Read(seq, nil); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if lost := l.Stats().Lost; lost.Entries != 0 {
			t.Fatalf("round %d: %+v lost", round, lost)
		}
		mustClose(t, l)
	}
}

// killedChild lets a child append until it has acknowledged n entries, kills it
// and gives the last sequence that it acknowledged.
func killedChild(t *testing.T, dir string, n int) (last uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		if seq, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
			last = max(last, seq)
		}
		if i == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || last == 0 {
		t.Fatalf("child: %v after %d", err, last)
	}
	return last
}
