package warden

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

func TestMain(m *testing.M) {
	if code, ok := play(); ok {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// raw connects without a client and swallows the first standing.
func raw(t *testing.T, socket string) *conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return newConn(c.(*net.UnixConn))
}

// answerTo skips what is pushed.
func answerTo(t *testing.T, c *conn) (message, error) {
	t.Helper()
	for {
		m, f, err := c.receive()
		if f != nil {
			_ = f.Close()
		}
		if err != nil || m.ID != 0 {
			return m, err
		}
	}
}

func TestUnknownVerb(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel())
	c := raw(t, p.socket)
	for _, verb := range []string{"", "format", verbStanding} {
		if err := c.send(message{ID: 9, Verb: verb}, nil); err != nil {
			t.Fatal(err)
		}
		m, err := answerTo(t, c)
		if err != nil || m.ID != 9 || m.Err == nil || !strings.Contains(m.Err.Text, "is not something it does") {
			t.Errorf("%+v, %v", m, err)
		}
	}
	if err := c.send(message{ID: 10, Verb: verbReset}, nil); err != nil {
		t.Fatal(err)
	}
	if m, err := answerTo(t, c); err != nil || m.Err == nil {
		t.Errorf("a request that says nothing: %+v, %v", m, err)
	}
}

func TestMalformedClosesThatConnectionOnly(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel(monitoringPoint(3, "mon0")))
	for _, bad := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x02xx", "GET / HTTP/1.1\r\n\r\n"} {
		c := raw(t, p.socket)
		if _, err := c.unix.Write([]byte(bad)); err != nil {
			t.Fatal(err)
		}
		_, err := answerTo(t, c)
		if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	p.order("mon0")
}

func TestUnwantedDescriptors(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel(monitoringPoint(3, "mon0")))
	before := descriptors(t)
	for range 20 {
		c := raw(t, p.socket)
		frame := framed(t, message{ID: 1, Verb: verbAudit})
		fds := syscall.UnixRights(0, 1, 2, 0, 1, 2, 0, 1, 2)
		if _, _, err := c.unix.WriteMsgUnix(frame, fds, nil); err != nil {
			t.Fatal(err)
		}
		if m, err := answerTo(t, c); err == nil {
			t.Fatalf("nine descriptors were taken: %+v", m)
		}
		c.close()
	}
	p.order("mon0")
	until(t, "descriptors are closed again", func() bool { return descriptors(t) <= before+2 })
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc/self/fd: ", err)
	}
	return len(all)
}

func TestConnectionsAreBounded(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel())
	var last *conn
	for range connectionsMost {
		last = raw(t, p.socket)
	}
	m, _, err := last.receive()
	for err == nil && m.Err == nil {
		m, _, err = last.receive()
	}
	if err != nil || !strings.Contains(m.Err.Text, "8 connections are open already") {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestOtherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: to knock as another user")
	}
	dir := t.TempDir()
	p := newPost(t, dir, newFakeKernel())
	for _, d := range []string{dir, filepath.Dir(dir)} { // the other user must get as far as the socket
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"=knock", "SOCKET="+p.socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "user 65534 may not talk to it") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestClientNoticesTheEnd(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	dir := t.TempDir()
	p := newPost(t, dir, k)
	p.order("mon0")
	c := p.client
	until(t, "a standing", func() bool { return len(c.Standing().Barriers) == 1 })
	p.end()
	until(t, "unknown", func() bool { s := c.Standing(); return !s.Known && strings.Contains(s.Reason, "does not answer") })
	if len(c.Standing().Barriers) == 0 {
		t.Error("what was found before is lost")
	}
	again := newPost(t, dir, k)
	until(t, "known again", func() bool { return c.Standing().Known })
	if err := c.Order(t.Context(), guard.Policy{Monitoring: []string{"mon0"}}); err != nil {
		t.Error(err)
	}
	again.state("mon0 up fenced")
}

func TestDialNobody(t *testing.T) {
	if _, err := Dial(t.Context(), t.TempDir()+"/none", nil); !errors.Is(err, ErrAway) {
		t.Errorf("have %v", err)
	}
}
