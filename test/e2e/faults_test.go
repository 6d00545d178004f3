package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest/mock"
)

// faultPrefix is how this test binary is called when it is installed as a plugin that fails on purpose.
const faultPrefix = "sluice-receiver-"

// playFault runs the plugin whose name this process was started by, and otherwise returns.
func playFault() {
	fault, ok := strings.CutPrefix(filepath.Base(os.Args[0]), faultPrefix)
	if !ok {
		return
	}
	sdk.Serve(&faulty{Receiver: mock.NewReceiver(mock.Fault(fault)), name: fault})
	os.Exit(0)
}

// faulty is the mock under the name of its fault.
type faulty struct {
	sdk.Receiver
	name string
}

func (f *faulty) Describe(ctx context.Context) (sdk.Info, error) {
	info, err := f.Receiver.Describe(ctx)
	info.Name = f.name
	return info, err
}

func faults() []mock.Fault {
	return []mock.Fault{
		mock.PanicRun, mock.HangRun, mock.ReturnAtOnce, mock.ExitRun, mock.FloodStderr, mock.AtMessage, mock.LongLine,
		mock.GarbageBatch, mock.DialBeyond, mock.ListenBeyond,
	}
}

// TestFaultyPluginsDoNotDisturbTheOthers runs a node without a diode with one good receiver and ten that panic, hang,
// flood the log, talk nonsense and ask for what their block does not allow.
func TestFaultyPluginsDoNotDisturbTheOthers(t *testing.T) {
	n := startSolo(t, faults())
	const messages = 300
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "udp", n.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a datagram socket
	for i := range messages {
		if _, err := fmt.Fprintf(conn, "<13>1 - h a - - - fault-%04d", i); err != nil {
			t.Fatal(err)
		}
		sleep(t.Context(), 20*time.Millisecond) // six seconds, in which the faults show
	}
	n.eventually("every message in the file", func() bool { return countLines(n.records()) >= messages })
	want := make([][]byte, messages)
	for i := range want {
		want[i] = fmt.Appendf(nil, "<13>1 - h a - - - fault-%04d", i)
	}
	var got [][]byte
	for _, r := range readRecords(t, n.records()) {
		got = append(got, r.bytes(t))
	}
	compare(t, "records of the good receiver", got, want, false)
	checkFaults(t, n.status())
	const bound = 4 << 20
	if size := len(n.out.String()); size > bound {
		t.Errorf("the log has %d bytes after a flood, more than %d", size, bound)
	}
	n.stop()
}

// checkFaults holds the status against what must show of each fault.
func checkFaults(t *testing.T, st console.Status) {
	t.Helper()
	for _, r := range st.Receivers {
		fault, _, _ := strings.Cut(r.Name, ".")
		switch mock.Fault(fault) {
		case "udp":
			if r.Plugin.Restarts != 0 || r.Plugin.Status != "running" {
				t.Errorf("the good receiver: %+v", r.Plugin)
			}
		case mock.PanicRun, mock.ReturnAtOnce, mock.ExitRun:
			if r.Plugin.Restarts == 0 || r.Plugin.LastError == "" {
				t.Errorf("%s: no restart or no reason: %+v", r.Name, r.Plugin)
			}
		case mock.GarbageBatch:
			if r.Dropped["garbage-batch"].Batches == 0 {
				t.Errorf("%s: garbage is not counted: %+v", r.Name, r.Dropped)
			}
		case mock.DialBeyond, mock.ListenBeyond:
			if len(r.Refused) == 0 {
				t.Errorf("%s: the refusal is not counted", r.Name)
			}
		}
		if fault != "udp" && r.Records != 0 {
			t.Errorf("%s: %d records", r.Name, r.Records)
		}
	}
}

// solo is a node without a diode on this machine's loopback interface.
type solo struct {
	node
	udp string
}

func (s *solo) records() string { return filepath.Join(s.state, "out", "records.ndjson") }

func startSolo(t *testing.T, faults []mock.Fault) *solo {
	t.Helper()
	dir, err := os.MkdirTemp("", "sluice-solo-") // short: unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	plugins := filepath.Join(dir, "plugins")
	port := freePort(t)
	config := soloConfig(port)
	for _, f := range faults {
		installFault(t, plugins, f)
		config += faultConfig(t, string(f))
	}
	writeFile(t, filepath.Join(dir, "config", "site.hcl"), config, 0o600)
	s := &solo{udp: fmt.Sprintf("127.0.0.1:%d", port)}
	s.node = node{t: t, name: "solo", config: filepath.Join(dir, "config"), state: filepath.Join(dir, "s"), out: &logBuffer{}}
	s.cmd = exec.Command(filepath.Join(binDir(t), "sluice"), "run", "--config", s.config, //nolint:noctx // built by this test, ended by it
		"--state", s.state, "--plugins", plugins, "--log-format", "json")
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.end = make(chan error, 1)
	go func() { s.end <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	s.eventually("the good receiver listens", func() bool {
		st, err := console.Fetch(context.Background(), gateway.Socket(s.state, s.name))
		if err != nil {
			return false
		}
		for _, r := range st.Receivers {
			if r.Name == "udp.good" {
				return len(r.Sockets) > 0
			}
		}
		return false
	})
	return s
}

// installFault puts this test binary into a plugin directory, under the name of the fault that it is to play.
func installFault(t *testing.T, dir string, f mock.Fault) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, faultPrefix+string(f))); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // only its number is wanted
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		t.Fatalf("address %v", c.LocalAddr())
	}
	return a.Port
}

func soloConfig(port int) string {
	return fmt.Sprintf(`
gateway { site = "e2e" }

node "solo" { service_interfaces = ["lo"] }

receiver "udp" "good" {
  node = node.solo
  port = %d
  config { protocol = "syslog" }
}

route "good" {
  from = [receiver.udp.good]
  to   = [sink.file.records]
}

sink "file" "records" {
  node = node.solo
  config { path = "out/records.ndjson" }
}
`, port) + exceptions("good")
}

func faultConfig(t *testing.T, fault string) string {
	t.Helper()
	return fmt.Sprintf(`
receiver %[1]q "x" {
  node = node.solo
  port = %[2]d
}

route "fault-%[1]s" {
  from = [receiver.%[1]s.x]
  to   = [sink.file.records]
}
`, fault, freePort(t))
}
