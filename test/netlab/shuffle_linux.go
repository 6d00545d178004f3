package netlab

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

const (
	shuffleFrame = 16 << 10       // bytes; above every MTU of a test
	shuffleWait  = 5 * 1000       // µs; how long frames that are held back wait when nothing follows
	shuffleRoom  = 32 << 20       // bytes; socket buffers of the shuffler
	allFrames    = unix.ETH_P_ALL // every protocol
	sent         = unix.PACKET_OUTGOING
)

// Shuffle passes frames on by a program of this process instead of the
// kernel, and lets the given percentage of them be overtaken by up to depth
// others. It lasts until the test ends, and stands tens of thousands of frames
// a second.
func (o *OneWay) Shuffle(seed uint64, percent float64, depth int) {
	o.n.t.Helper()
	in, err := o.raw(o.in)
	if err != nil {
		o.n.t.Fatalf("netlab: shuffle: %v", err)
	}
	out, err := o.raw(o.out)
	if err != nil {
		o.n.t.Fatalf("netlab: shuffle: %v", err)
	}
	// The program takes copies; the frames themselves end here.
	o.load("drop")
	s := &shuffler{in: in, out: out, rng: rand.New(rand.NewPCG(seed, 1)), percent: percent, depth: depth, quit: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run()
	}()
	o.n.t.Cleanup(func() {
		close(s.quit)
		<-done
		_, _ = unix.Close(in), unix.Close(out)
	})
}

// raw opens a packet socket (packet(7)) on one interface of the namespace.
func (o *OneWay) raw(iface string) (fd int, err error) {
	index := o.n.Index(iface)
	err = o.n.Do(func() error {
		proto := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, allFrames))
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto))
		if err != nil {
			return err
		}
		return errors.Join(
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: index}),
			// A checksum that a card would fill in travels as such a note (packet(7)).
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, shuffleRoom),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, shuffleRoom),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: shuffleWait}),
		)
	})
	return fd, err
}

// shuffler holds some frames back until others have passed.
type shuffler struct {
	in, out int
	rng     *rand.Rand
	percent float64
	depth   int
	held    []heldFrame
	quit    chan struct{}
}

type heldFrame struct {
	b    []byte
	wait int // frames that pass before it
}

func (s *shuffler) run() {
	buf := make([]byte, shuffleFrame)
	for {
		select {
		case <-s.quit:
			return
		default:
		}
		n, from, err := unix.Recvfrom(s.in, buf, 0)
		if err != nil { // nothing came for a while
			s.pass(s.depth)
			continue
		}
		if a, ok := from.(*unix.SockaddrLinklayer); ok && a.Pkttype == sent {
			continue
		}
		s.frame(buf[:n])
	}
}

func (s *shuffler) frame(b []byte) {
	if s.rng.Float64()*100 < s.percent {
		s.held = append(s.held, heldFrame{append([]byte(nil), b...), 1 + s.rng.IntN(s.depth)})
		return
	}
	s.send(b)
	s.pass(1)
}

// pass lets n frames have passed, and sends what waited for them.
func (s *shuffler) pass(n int) {
	keep := s.held[:0]
	for _, h := range s.held {
		if h.wait -= n; h.wait <= 0 {
			s.send(h.b)
			continue
		}
		keep = append(keep, h)
	}
	s.held = keep
}

// send is not checked: a frame that the wire does not take is a lost one.
func (s *shuffler) send(b []byte) { _, _ = unix.Write(s.out, b) }
