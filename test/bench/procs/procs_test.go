package procs_test

import (
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/procs"
)

// TestDescendantsAreFound: a shell that starts a shell is one process tree.
func TestDescendantsAreFound(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "/bin/sh -c 'echo started; read x; exit 0'; exit 0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("started\n"))); err != nil {
		t.Fatal(err)
	}
	u, err := procs.Sample(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if len(u.Each) != 2 || u.Peak == 0 || u.Each[0].PID != cmd.Process.Pid || u.Each[1].Name != "sh" {
		t.Errorf("%+v", u)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := procs.Sample(cmd.Process.Pid); err == nil {
		t.Error("a process that is gone was found")
	}
}

// TestTimeIsCounted: what this process burns appears in its own figures.
func TestTimeIsCounted(t *testing.T) {
	before, err := procs.Sample(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		for x := range 50_000_000 {
			_ = x * x
		}
		after, err := procs.Sample(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if since := after.Since(before); since.CPU > 0 {
			if since.Each[0].CPU != since.CPU {
				t.Errorf("%+v", since)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no time counted: %v then %v", before.CPU, after.CPU)
		}
	}
}
