package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// farRecord is one line of the far side's file.
type farRecord struct {
	ID         string    `json:"id"`
	Receiver   string    `json:"receiver"`
	Remote     string    `json:"remote"`
	ReceivedAt time.Time `json:"received_at"`
	Payload    *string   `json:"payload"`
	Base64     *string   `json:"payload_base64"`
}

func (r farRecord) bytes(t *testing.T) []byte {
	t.Helper()
	if r.Payload != nil {
		return []byte(*r.Payload)
	}
	if r.Base64 == nil {
		t.Fatalf("record %s has no payload", r.ID)
	}
	b, err := base64.StdEncoding.DecodeString(*r.Base64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readRecords reads the whole file; a line that is not whole JSON is an error.
func readRecords(t *testing.T, path string) []farRecord {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	var out []farRecord
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var r farRecord
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatalf("line %d of %s: %v: %q", len(out)+1, path, err, s.Text())
		}
		out = append(out, r)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func countLines(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	return bytes.Count(b, []byte{'\n'})
}

// syslogHead is what the client's template puts before each message.
const syslogHead = "<134>1 2026-11-23T10:00:00.000000Z endpoint app - - - "

// messages makes n distinct lines of different lengths.
func messages(prefix string, n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%07d %s", prefix, i, strings.Repeat("x", r.IntN(300)))
	}
	return out
}

// rsyslogTLS starts Debian's rsyslog in a namespace: it reads a file and forwards each line over TLS.
func rsyslogTLS(t *testing.T, ns *netlab.Namespace, dir, caFile, file, target string, port int) {
	t.Helper()
	program, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("rsyslogd is not installed")
	}
	conf := filepath.Join(dir, "rsyslog.conf")
	writeFile(t, conf, fmt.Sprintf(`
global(workDirectory=%[1]q DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile=%[2]q)
module(load="imfile" mode="inotify")
template(name="exact" type="string" string="%[3]s%%msg%%")
ruleset(name="out") {
  action(type="omfwd" target=%[4]q port="%[5]d" protocol="tcp" template="exact" TCP_Framing="octet-counted"
         StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="plant"
         action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="LinkedList" queue.size="200000")
}
input(type="imfile" File=%[6]q Tag="app" ruleset="out")
`, dir, caFile, syslogHead, target, port, file), 0o600)
	out := &logBuffer{}
	cmd := ns.Command(context.Background(), program, "-n", "-f", conf, "-i", filepath.Join(dir, "rsyslog.pid"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("rsyslog:\n%s", out)
		}
	})
}

// loggerUDP sends each line of a file as one RFC 5424 datagram.
func loggerUDP(t *testing.T, ns *netlab.Namespace, file, target string, port int) {
	t.Helper()
	ns.Run("logger", "--server", target, "--port", fmt.Sprint(port), "--udp", "--rfc5424", "--tag", "e2e", "--file", file)
}

// datagrams makes n distinct payloads of 1 to 1400 bytes; the first four bytes, where there are as many, are a number.
func datagrams(seed uint64, n int) [][]byte {
	r := rand.New(rand.NewPCG(seed, 7))
	out := make([][]byte, 0, n)
	seen := map[string]bool{}
	for len(out) < n {
		b := make([]byte, 1+r.IntN(1400))
		if len(out) < 64 {
			b = make([]byte, 1+len(out)%4) // short ones as well
		}
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if len(b) >= 8 {
			binary.BigEndian.PutUint32(b, uint32(len(out)))
		}
		if !seen[string(b)] {
			seen[string(b)] = true
			out = append(out, b)
		}
	}
	return out
}

// sendPaced sends datagrams from a namespace at about rate a second, in bursts of a millisecond.
func sendPaced(t *testing.T, ns *netlab.Namespace, target netip.AddrPort, rate int, grams [][]byte) {
	t.Helper()
	var conn net.Conn
	if err := ns.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(t.Context(), "udp", target.String())
		return err
	}); err != nil {
		t.Error(err)
		return
	}
	defer conn.Close() //nolint:errcheck // a datagram socket
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(grams) > 0 {
		<-tick.C
		burst := grams[:min(len(grams), max(1, rate/1000))]
		for _, g := range burst {
			if _, err := conn.Write(g); err != nil {
				t.Errorf("send to %s: %v", target, err)
				return
			}
		}
		grams = grams[len(burst):]
	}
}

// collector stands in for one integration server in UDP mode: it takes datagrams and never answers.
type collector struct {
	conn net.PacketConn
	done chan struct{}

	mu    sync.Mutex // guards grams
	grams [][]byte
}

func collect(t *testing.T, ns *netlab.Namespace, at netip.AddrPort) *collector {
	t.Helper()
	c := &collector{done: make(chan struct{})}
	if err := ns.Do(func() (err error) {
		c.conn, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", at.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if u, ok := c.conn.(*net.UDPConn); ok {
		_ = u.SetReadBuffer(16 << 20)
	}
	go c.run()
	t.Cleanup(func() {
		_ = c.conn.Close()
		<-c.done
	})
	return c
}

func (c *collector) run() {
	defer close(c.done)
	buf := make([]byte, 65536)
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.grams = append(c.grams, bytes.Clone(buf[:n]))
		c.mu.Unlock()
	}
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.grams)
}

func (c *collector) all() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([][]byte(nil), c.grams...)
}

// compare reports what is missing, foreign or repeated among got.
func compare(t *testing.T, what string, got [][]byte, want [][]byte, repeatsAllowed bool) {
	t.Helper()
	wanted := make(map[string]bool, len(want))
	for _, w := range want {
		wanted[string(w)] = true
	}
	seen := make(map[string]bool, len(got))
	foreign, twice := 0, 0
	for _, g := range got {
		switch {
		case !wanted[string(g)]:
			foreign++
		case seen[string(g)]:
			twice++
		}
		seen[string(g)] = true
	}
	missing := 0
	for _, w := range want {
		if !seen[string(w)] {
			missing++
		}
	}
	t.Logf("%s: %d sent, %d arrived, %d missing, %d foreign, %d twice", what, len(want), len(got), missing, foreign, twice)
	if missing > 0 || foreign > 0 || twice > 0 && !repeatsAllowed {
		t.Errorf("%s: %d missing, %d foreign, %d twice of %d", what, missing, foreign, twice, len(want))
	}
}
