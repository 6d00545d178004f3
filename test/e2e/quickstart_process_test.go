package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
)

// Where the built-in quickstart listens; see hcl/examples/quickstart.
const (
	quickUDP  = "127.0.0.1:5514"
	quickTCP  = "127.0.0.1:5140"
	quickTLS  = "127.0.0.1:6514"
	quickLink = "127.0.0.1:5760"
)

// quickstart is `sluice run` without a configuration: both nodes in one process, on this machine's loopback interface.
type quickstart struct {
	t     *testing.T
	state string
	cmd   *exec.Cmd
	out   *logBuffer
	end   chan error
}

// newQuickstart skips where one of the quickstart's fixed ports is taken.
func newQuickstart(t *testing.T) *quickstart {
	t.Helper()
	for _, p := range []struct{ network, address string }{{"udp", quickUDP}, {"tcp", quickTCP}, {"tcp", quickTLS}, {"udp", quickLink}} {
		if err := portFree(t.Context(), p.network, p.address); err != nil {
			t.Skipf("the quickstart's ports are fixed, and one is taken: %v", err)
		}
	}
	dir, err := os.MkdirTemp("", "sluice-quickstart-") // short: unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	q := &quickstart{t: t, state: dir, out: &logBuffer{}}
	t.Cleanup(func() {
		if q.cmd != nil && q.end != nil {
			_ = q.cmd.Process.Kill()
			<-q.end //nolint:errcheck // it was killed
		}
		if t.Failed() {
			t.Logf("sluice run:\n%s", tail(q.out))
		}
	})
	return q
}

func portFree(ctx context.Context, network, address string) error {
	var lc net.ListenConfig
	if network == "tcp" {
		l, err := lc.Listen(ctx, network, address)
		if err != nil {
			return err
		}
		return l.Close()
	}
	c, err := lc.ListenPacket(ctx, network, address)
	if err != nil {
		return err
	}
	return c.Close()
}

// start runs the program and waits until both nodes are ready and the link is up.
func (q *quickstart) start() {
	q.t.Helper()
	q.cmd = exec.Command(filepath.Join(binDir(q.t), "sluice"), "run", "--state", q.state, "--log-level", "debug") //nolint:noctx // ended by this test
	q.cmd.Stdout, q.cmd.Stderr = q.out, q.out
	begin := time.Now()
	if err := q.cmd.Start(); err != nil {
		q.t.Fatal(err)
	}
	cmd, end := q.cmd, make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	q.end = end
	q.eventually("both nodes ready and the link up", q.ready)
	q.t.Logf("ready after %v", time.Since(begin).Round(time.Millisecond))
}

func (q *quickstart) ready() bool {
	st := q.statuses()
	plant, dmz := st["plant"], st["dmz"]
	return plant.Ready && dmz.Ready && len(dmz.Links) == 1 && dmz.Links[0].State == "up"
}

func (q *quickstart) eventually(what string, ok func() bool) {
	q.t.Helper()
	eventually(q.t, what, patience, ok, func() string { return tail(q.out) })
}

// ended waits for the process.
func (q *quickstart) ended() error {
	q.t.Helper()
	select {
	case err := <-q.end:
		q.end = nil
		return err
	case <-time.After(patience):
		q.t.Fatalf("sluice run did not end\n%s", tail(q.out))
		return nil
	}
}

func (q *quickstart) signal(s syscall.Signal) {
	q.t.Helper()
	if err := q.cmd.Process.Signal(s); err != nil {
		q.t.Fatal(err)
	}
}

// sluice runs another verb of the program.
func (q *quickstart) sluice(args ...string) (string, error) {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(binDir(q.t), "sluice"), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("sluice %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// statuses asks as an operator does; a node that does not answer is left out.
func (q *quickstart) statuses() map[string]console.Status {
	out, err := q.sluice("status", "--json", "--state", q.state)
	if err != nil {
		return nil
	}
	all := map[string]console.Status{}
	dec := json.NewDecoder(strings.NewReader(out))
	for dec.More() {
		var st console.Status
		if err := dec.Decode(&st); err != nil {
			q.t.Errorf("status --json: %v\n%s", err, out)
			return nil
		}
		all[st.Node] = st
	}
	return all
}

// plugins are the processes of all receivers and sinks by name.
func (q *quickstart) plugins() map[string]int {
	pids := map[string]int{}
	for _, st := range q.statuses() {
		for _, r := range st.Receivers {
			pids[r.Name] = r.Plugin.PID
		}
		for _, s := range st.Sinks {
			pids[s.Name] = s.Plugin.PID
		}
	}
	return pids
}

// gone tells whether a process has ended. Somebody else may wait for it: a zombie has ended too, proc(5).
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return true
	}
	_, rest, found := bytes.Cut(b, []byte(") "))
	return found && len(rest) > 0 && rest[0] == 'Z'
}

// quickRecord is one line of records.ndjson, with the keys that the quickstart promises.
type quickRecord struct {
	ID         string    `json:"id"`
	Receiver   string    `json:"receiver"`
	Remote     string    `json:"remote"`
	ReceivedAt time.Time `json:"received_at"`
	Payload    string    `json:"payload"`
}

func (q *quickstart) recordsPath() string { return filepath.Join(q.state, "out", "records.ndjson") }

// records reads the whole lines of the file on the far side.
func (q *quickstart) records() []quickRecord {
	b, err := os.ReadFile(q.recordsPath())
	if err != nil {
		return nil
	}
	var out []quickRecord
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte{'\n'}) {
			break
		}
		var r quickRecord
		if err := json.Unmarshal(line, &r); err != nil {
			q.t.Errorf("%s: %v: %s", q.recordsPath(), err, line)
			continue
		}
		out = append(out, r)
	}
	return out
}

// arrived waits for the one record whose payload holds a text.
func (q *quickstart) arrived(text string) quickRecord {
	q.t.Helper()
	var found quickRecord
	q.eventually("record with "+text, func() bool {
		for _, r := range q.records() {
			if strings.Contains(r.Payload, text) {
				found = r
				return true
			}
		}
		return false
	})
	return found
}
