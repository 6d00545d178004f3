package warden

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/internal/privilege"
)

// newSafe makes a safe whose keeper ends with the test.
func newSafe(t *testing.T, socket string) *keeperSafe {
	t.Helper()
	s := &keeperSafe{log: slog.New(slog.DiscardHandler), socket: socket, holds: map[string]*os.File{}}
	t.Cleanup(func() { s.forget("thing") })
	return s
}

// pipe returns both ends.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func TestKeeperOutlivesItsClient(t *testing.T) {
	socket := filepath.Join(t.TempDir(), keeperSock)
	first := newSafe(t, socket)
	if f, err := first.take(t.Context(), "thing"); f != nil || err != nil {
		t.Fatalf("there is none yet: %v, %v", f, err)
	}
	r, w := pipe(t)
	if err := first.keep(t.Context(), "thing", w); err != nil {
		t.Fatal(err)
	}
	first.client.close() // as if that process had been killed
	first.client = nil
	_ = w.Close()

	second := newSafe(t, socket)
	got, err := second.take(t.Context(), "thing")
	if err != nil || got == nil {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := got.WriteString("still open"); err != nil {
		t.Fatal(err)
	}
	_ = got.Close()
	if f, err := second.take(t.Context(), "another"); f != nil || err != nil {
		t.Errorf("%v, %v", f, err)
	}
	second.forget("thing") // the keeper ends, and the last descriptor with it
	text, err := io.ReadAll(r)
	if err != nil || string(text) != "still open" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestKeeperHasNoPrivileges(t *testing.T) {
	s := newSafe(t, filepath.Join(t.TempDir(), keeperSock))
	_, w := pipe(t)
	if err := s.keep(t.Context(), "thing", w); err != nil {
		t.Fatal(err)
	}
	threads, err := privilege.Threads(s.client.pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, have := range threads {
		if have.Permitted|have.Effective|have.Inheritable|have.Ambient != 0 {
			t.Errorf("the keeper has %s", have)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.client.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("want %q", want)
		}
	}
}

func TestKeeperIsReplaced(t *testing.T) {
	s := newSafe(t, filepath.Join(t.TempDir(), keeperSock))
	_, w := pipe(t)
	if err := s.keep(t.Context(), "thing", w); err != nil {
		t.Fatal(err)
	}
	killed := s.client.pid
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the kill is noticed", func() bool { return s.client == nil || s.client.alive() != nil })
	if err := s.tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.client.pid == killed {
		t.Error("the same keeper answers")
	}
	_, file, err := s.client.ask(verbGive, "thing", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
}

func TestKeeperIsBounded(t *testing.T) {
	k := &keeper{files: map[string]*os.File{}}
	_, w := pipe(t)
	keep := func(name string) error {
		_, _, err := k.answer(t.Context(), call{verb: verbKeep, body: []byte(`{"name":"` + name + `"}`), file: w})
		return err
	}
	for i := range keptMost {
		if err := keep(string(rune('a' + i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := keep("a"); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := keep("z"); err == nil {
		t.Error("one too many is taken")
	}
	if _, _, err := k.answer(t.Context(), call{verb: verbGive, body: []byte(`{"name":"z"}`)}); !errors.Is(err, errNotKept) {
		t.Errorf("have %v", err)
	}
	for _, f := range k.files {
		_ = f.Close()
	}
}

func TestServiceManager(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", socket)
	_, w := pipe(t)
	if err := (storeSafe{newService()}).keep(t.Context(), tableName, w); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		text  string
		files int
	}{{"FDSTOREREMOVE=1\nFDNAME=sluice-table", 0}, {"FDSTORE=1\nFDPOLL=0\nFDNAME=sluice-table", 1}} {
		text, oob := make([]byte, 256), make([]byte, 256)
		n, oobn, _, _, err := syscall.Recvmsg(fd, text, oob, 0)
		if err != nil {
			t.Fatal(err)
		}
		files, err := rights(oob[:oobn])
		closeAll(files)
		if err != nil || string(text[:n]) != want.text || len(files) != want.files {
			t.Errorf("have %q with %d descriptors, %v", text[:n], len(files), err)
		}
	}
}
