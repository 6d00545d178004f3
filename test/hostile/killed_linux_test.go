package hostile_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// hostVariable names the directory of a host that is to be killed.
const hostVariable = "SLUICE_TEST_HOST"

// TestCoreKilled kills a host whose plugin is stopped, and so cannot see that it is alone: it must not outlive the host.
func TestCoreKilled(t *testing.T) {
	base := newBase(t)
	if err := os.Mkdir(filepath.Join(base, "plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	install(t, filepath.Join(base, "plugins"), "receiver-"+attacker)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), hostVariable+"="+base)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // its end ends a host that nobody kills
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		_ = cmd.Process.Kill()
		t.Fatalf("the host says %q: %v", line, cmd.Wait())
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // a process that has ended
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if !ends(fd) {
		_ = unix.Kill(pid, unix.SIGKILL)
		t.Errorf("process %d lives on without its host", pid)
	}
}

// ends waits for a process that is not ours to wait for (pidfd_open(2): it becomes readable).
func ends(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for end := time.Now().Add(deadline); time.Now().Before(end); runtime.Gosched() {
		if n, err := unix.Poll(fds, 1000); err == nil && n > 0 {
			return true
		}
	}
	return false
}

// playHost starts the hostile plugin, says its number and waits to be killed.
func playHost(base string) {
	h, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{filepath.Join(base, "plugins")}, RuntimeDir: filepath.Join(base, "run"),
		Shim: []string{"/proc/self/exe", "plugin-exec"}, Log: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		var i *pluginhost.Instance
		if i, err = h.Start(context.Background(), sdk.KindReceiver, attacker, "test"); err == nil {
			_, _ = fmt.Println(i.PID())
		}
	}
	if err != nil {
		_, _ = fmt.Println(err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}
