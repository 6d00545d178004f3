package control_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// pair returns both ends of a control socket and the raw connection of the plugin's.
func pair(t *testing.T) (core, plugin *control.Socket) {
	t.Helper()
	core, file, err := control.Pair()
	if err != nil {
		t.Fatal(err)
	}
	if plugin, err = control.Open(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = core.Close()
		_ = plugin.Close()
	})
	return core, plugin
}

// raw returns a Socket and the other end as a plain connection, for what Send would not send.
func raw(t *testing.T) (*control.Socket, *net.UnixConn) {
	t.Helper()
	s, file, err := control.Pair()
	if err != nil {
		t.Fatal(err)
	}
	c, err := control.Stream(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		_ = c.Close()
	})
	return s, c
}

func message(remote string) *proto.Control {
	return &proto.Control{Id: 7, Kind: &proto.Control_Connection{Connection: &proto.Connection{Remote: remote}}}
}

func TestAMessageCarriesAStream(t *testing.T) {
	core, plugin := pair(t)
	ours, theirs, err := control.StreamPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close() //nolint:errcheck // test
	if err := core.Send(message("192.0.2.1:5"), theirs, patience); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	m, f, err := plugin.Receive()
	if err != nil || f == nil || m.GetConnection().GetRemote() != "192.0.2.1:5" || m.GetId() != 7 {
		t.Fatalf("%v, %v, %v", m, f, err)
	}
	c, err := control.Stream(f)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // test
	if _, err := ours.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = ours.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if err := core.Send(message(""), nil, patience); err != nil {
		t.Fatal(err)
	}
	if _, f, err := plugin.Receive(); err != nil || f != nil {
		t.Errorf("a message without a descriptor: %v, %v", f, err)
	}
}

func TestAPeerThatDoesNotReadIsBusy(t *testing.T) {
	core, plugin := pair(t)
	var busy bool
	sent := 0
	for ; sent < 100_000 && !busy; sent++ {
		err := core.Send(message("192.0.2.1:5"), nil, 20*time.Millisecond)
		busy = errors.Is(err, control.ErrBusy)
		if err != nil && !busy {
			t.Fatal(err)
		}
	}
	if !busy {
		t.Fatal("never busy")
	}
	// Many Sends wait together, not one after the other.
	var wg sync.WaitGroup
	began := time.Now()
	for range 50 {
		wg.Go(func() {
			if err := core.Send(message(""), nil, 100*time.Millisecond); !errors.Is(err, control.ErrBusy) {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if waited := time.Since(began); waited > 50*100*time.Millisecond/2 {
		t.Errorf("50 Sends waited %v one after the other", waited)
	}
	// Nothing of what was refused arrives, and it works again.
	for range sent - 1 {
		if _, _, err := plugin.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	if err := core.Send(message("again"), nil, patience); err != nil {
		t.Fatal(err)
	}
	if m, _, err := plugin.Receive(); err != nil || m.GetConnection().GetRemote() != "again" {
		t.Errorf("%v, %v", m, err)
	}
}

func TestTheEndIsEOF(t *testing.T) {
	core, plugin := pair(t)
	got := make(chan error, 1)
	go func() {
		_, _, err := plugin.Receive()
		got <- err
	}()
	_ = core.Close()
	if err := <-got; !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if err := plugin.Send(message(""), nil, patience); err == nil || errors.Is(err, control.ErrBusy) {
		t.Errorf("send to nobody: %v", err)
	}
	_ = plugin.Close()
	if _, _, err := plugin.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	core, _ := pair(t)
	if err := core.Send(message(strings.Repeat("x", 4096)), nil, patience); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("%v", err)
	}
	if err := core.Send(&proto.Control{}, nil, patience); err == nil {
		t.Error("an empty message would look like the end")
	}
	if err := core.Send(message("\xff"), nil, patience); err == nil {
		t.Error("a message that is not UTF-8 was sent")
	}
}

// TestHostilePackets: whatever a plugin writes on its control socket, the core gets an error and keeps no descriptor.
func TestHostilePackets(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		files int
		want  string
	}{
		{"empty", nil, 0, "EOF"},
		{"a byte with a descriptor", []byte{0}, 1, "proto"},
		{"noise", []byte{0xff, 0xff, 0xff}, 0, "proto"},
		{"noise with descriptors", []byte{0xff, 0xff, 0xff}, 4, "proto"},
		{"too long", bytes.Repeat([]byte{0}, 5000), 1, "more than 4096 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, c := raw(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:errcheck // test
			var rights []byte
			if tt.files > 0 {
				rights = unix.UnixRights(slices.Repeat([]int{int(w.Fd())}, tt.files)...)
			}
			if _, _, err := c.WriteMsgUnix(tt.bytes, rights, nil); err != nil {
				t.Fatal(err)
			}
			_ = w.Close()
			if _, f, err := s.Receive(); err == nil || f != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, %v, want %q", f, err, tt.want)
			}
			// With every copy of the writing end closed the pipe is at its end.
			_ = r.SetReadDeadline(time.Now().Add(patience))
			if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("a descriptor is still open: %v", err)
			}
		})
	}
}

func TestMoreDescriptorsThanOne(t *testing.T) {
	s, c := raw(t)
	for _, n := range []int{2, 4, 20} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		b := []byte{8, 1} // id 1
		if _, _, err := c.WriteMsgUnix(b, unix.UnixRights(slices.Repeat([]int{int(w.Fd())}, n)...), nil); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		m, f, err := s.Receive()
		if n <= 4 && (err != nil || f == nil) || n > 4 && !errors.Is(err, control.ErrTruncated) || m.GetId() != 1 {
			t.Errorf("%d descriptors: %v, %v", n, f, err)
		}
		if f != nil {
			_ = f.Close()
		}
		_ = r.SetReadDeadline(time.Now().Add(patience))
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%d descriptors: one is still open: %v", n, err)
		}
		_ = r.Close()
	}
}

// TestALostDescriptor lowers the limit of open files, as a plugin meets it that leaks connections.
func TestALostDescriptor(t *testing.T) {
	core, plugin := pair(t)
	ours, theirs, err := control.StreamPair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()   //nolint:errcheck // test
	defer theirs.Close() //nolint:errcheck // test
	if err := core.Send(message("lost"), theirs, patience); err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	low := was
	low.Cur = uint64(theirs.Fd()) // no number below it is free for long: the next descriptor would be higher
	for fd := uint64(0); fd < low.Cur; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); errors.Is(err, unix.EBADF) {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close() //nolint:errcheck // test
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	m, f, err := plugin.Receive()
	if serr := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); serr != nil {
		t.Fatal(serr)
	}
	if !errors.Is(err, control.ErrTruncated) || f != nil || m.GetConnection().GetRemote() != "lost" {
		t.Errorf("%v, %v, %v", m, f, err)
	}
}

func TestOpenRefusesWhatIsNoSocket(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // test
	if _, err := control.Open(r); err == nil {
		t.Error("a pipe was taken for a socket")
	}
}

func TestFeedFrames(t *testing.T) {
	addrs := []string{"192.0.2.1:514", "[2001:db8::1]:0", "[::ffff:192.0.2.9]:65535"}
	frame := make([]byte, control.FrameHeader)
	for i, a := range addrs {
		frame = control.AppendDatagram(frame, netip.MustParseAddrPort(a), int64(i)-1, bytes.Repeat([]byte("x"), i*700))
	}
	control.PutLength(frame)
	for cut := range frame {
		if _, rest, ok, err := control.Split(frame[:cut]); ok || err != nil || len(rest) != cut {
			t.Fatalf("a part of %d bytes: %t, %v", cut, ok, err)
		}
	}
	content, rest, ok, err := control.Split(append(slices.Clone(frame), "next"...))
	if !ok || err != nil || string(rest) != "next" {
		t.Fatalf("%q, %t, %v", rest, ok, err)
	}
	for i, a := range addrs {
		remote, nano, payload, more, err := control.NextDatagram(content)
		want := netip.MustParseAddrPort(a)
		if err != nil || remote != netip.AddrPortFrom(want.Addr().Unmap(), want.Port()) || nano != int64(i)-1 || len(payload) != i*700 {
			t.Errorf("datagram %d: %v at %d with %d bytes, %v", i, remote, nano, len(payload), err)
		}
		content = more
	}
	if len(content) != 0 {
		t.Errorf("%d bytes are left", len(content))
	}
	if _, _, _, err := control.Split([]byte{0xff, 0xff, 0xff, 0xff}); !errors.Is(err, control.ErrFrame) {
		t.Errorf("a frame of 4 GiB: %v", err)
	}
}

func TestSendRequests(t *testing.T) {
	b := control.AppendPayload(control.AppendPayload(nil, []byte("one")), nil)
	first, rest, err := control.NextPayload(b)
	if err != nil || string(first) != "one" {
		t.Fatalf("%q, %v", first, err)
	}
	if second, rest, err := control.NextPayload(rest); err != nil || len(second)+len(rest) != 0 {
		t.Fatalf("%q, %q, %v", second, rest, err)
	}
	a := control.Answer{Taken: 7, Errno: syscall.ECONNREFUSED}
	if got, err := control.ParseAnswer(a.Append(nil)); err != nil || got != a {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := control.ParseAnswer(make([]byte, 7)); !errors.Is(err, control.ErrFrame) {
		t.Errorf("a short answer: %v", err)
	}
}

func FuzzNextDatagram(f *testing.F) {
	f.Add([]byte{})
	f.Add(control.AppendDatagram(nil, netip.MustParseAddrPort("192.0.2.1:514"), 1, []byte("abc")))
	f.Add(control.AppendDatagram(nil, netip.MustParseAddrPort("[2001:db8::1]:514"), -1, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			remote, nano, payload, rest, err := control.NextDatagram(b)
			if err != nil {
				if !errors.Is(err, control.ErrFrame) {
					t.Fatalf("unclassified: %v", err)
				}
				return
			}
			if len(rest) >= len(b) || len(payload) > control.MaxDatagram {
				t.Fatalf("%d bytes of %d are left, payload of %d", len(rest), len(b), len(payload))
			}
			again := control.AppendDatagram(nil, remote, nano, payload)
			if !remote.Addr().Is4In6() && !bytes.Equal(again, b[:len(b)-len(rest)]) && b[0] != 16 {
				t.Fatalf("%x became %x", b[:len(b)-len(rest)], again)
			}
			b = rest
		}
	})
}

func FuzzNextPayload(f *testing.F) {
	f.Add([]byte{})
	f.Add(control.AppendPayload(nil, []byte("abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			payload, rest, err := control.NextPayload(b)
			if err != nil {
				if !errors.Is(err, control.ErrFrame) {
					t.Fatalf("unclassified: %v", err)
				}
				return
			}
			if !bytes.Equal(control.AppendPayload(nil, payload), b[:len(b)-len(rest)]) {
				t.Fatalf("%x did not survive", b)
			}
			b = rest
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		content, rest, ok, err := control.Split(b)
		if ok && (err != nil || len(content)+len(rest)+control.FrameHeader != len(b)) {
			t.Fatalf("%d and %d bytes of %d, %v", len(content), len(rest), len(b), err)
		}
	})
}
