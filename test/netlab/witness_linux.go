package netlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

const (
	// witnessBuffer is the receive buffer of a witness in bytes. Ours: about
	// 20,000 small frames.
	witnessBuffer = 16 << 20
	// witnessKeep bounds the frames that a witness keeps for Frames. Ours.
	witnessKeep = 1024
	// frameMost is larger than any frame of a veth with default settings.
	frameMost = 1 << 17
)

// Witness counts the frames that arrive at an interface, from outside the
// machine that is tested: put it on the peer. It reads in the background:
// before concluding that there was silence, send a frame of your own and wait
// until it is counted, which also shows that the witness sees frames.
type Witness struct {
	file *os.File
	done chan struct{}

	mu    sync.Mutex // guards what follows
	total int
	kept  [][]byte
	match []matcher
}

type matcher struct {
	keep  func(gopacket.Packet) bool
	count *int
}

// Watch starts a witness; it ends with the test. Frames that the namespace
// itself sends by the interface are not counted.
func (n *Namespace) Watch(iface string) *Witness {
	n.t.Helper()
	w := &Witness{done: make(chan struct{})}
	if err := n.Do(func() (err error) { w.file, err = packetSocket(iface); return err }); err != nil {
		n.t.Fatal(err)
	}
	go w.read()
	n.t.Cleanup(w.Close)
	return w
}

// packetSocket opens a packet(7) socket on one interface.
func packetSocket(iface string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("netlab: packet socket: %w", err)
	}
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netlab: witness on %s: %w", iface, err), unix.Close(fd))
	}
	all := uint16(unix.ETH_P_ALL)
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, witnessBuffer),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: ifi.Index}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netlab: witness on %s: %w", iface, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "witness"), nil
}

func (w *Witness) read() {
	defer close(w.done)
	buf := make([]byte, frameMost)
	for {
		n, err := w.file.Read(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // the interface went down; it may come up again
		}
		if err != nil {
			return
		}
		w.take(buf[:n])
	}
}

func (w *Witness) take(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total++
	if len(w.kept) < witnessKeep {
		w.kept = append(w.kept, append([]byte(nil), frame...))
	}
	if len(w.match) == 0 {
		return
	}
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	for _, m := range w.match {
		if m.keep(p) {
			*m.count++
		}
	}
}

// Count returns the number of frames so far.
func (w *Witness) Count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// CountIf counts, from now on, the frames that keep wants. The function it
// returns gives the number so far.
func (w *Witness) CountIf(keep func(gopacket.Packet) bool) func() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := 0
	w.match = append(w.match, matcher{keep, &count})
	return func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return count
	}
}

// Frames returns the first 1024 frames, decoded.
func (w *Witness) Frames() []gopacket.Packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]gopacket.Packet, 0, len(w.kept))
	for _, f := range w.kept {
		out = append(out, gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default))
	}
	return out
}

// Close ends the witness; its counts stay readable.
func (w *Witness) Close() {
	_ = w.file.Close()
	<-w.done
}
