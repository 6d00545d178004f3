package oneway_test

import (
	"context"
	"crypto/hpke"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/test/netlab"
)

const (
	port = 5760
	// patience bounds every wait of a test.
	patience = 90 * time.Second
	keyID    = 1
)

// options of a rig; functions may be nil.
type options struct {
	net  netlab.LinkOptions
	send func(*send.Config)
	recv func(*recv.Config)
	two  bool // a second diode in parallel
}

// side is one process of a link that can be started again.
type side struct {
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, run func(context.Context) error) *side {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &side{cancel, make(chan error, 1)}
	go func() { s.done <- run(ctx) }()
	return s
}

func (s *side) stop(t *testing.T) {
	t.Helper()
	if s == nil {
		return
	}
	s.cancel()
	if err := <-s.done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// diodeRig is one wire with the directories of both ends.
type diodeRig struct {
	name             string
	lab              *netlab.Link
	sendDir, recvDir string
	tx               *send.Sender
	source           *linktest.Source // every diode reads the same batches with a cursor of its own
	sender           *side
	conn             *net.UDPConn
}

// rig is a source, one or two diodes, and a sink.
type rig struct {
	t        *testing.T
	o        options
	private  hpke.PrivateKey
	diodes   []*diodeRig
	source   *linktest.Source // of the first diode
	sink     *linktest.Sink
	rx       *recv.Receiver
	receiver *side
	far      []*net.UDPConn
	rng      *rand.Rand
}

// newRig builds the wires and starts nothing.
func newRig(t *testing.T, o options) *rig {
	t.Helper()
	netlab.Require(t)
	private, err := frame.KEM().GenerateKey()
	must(t, err)
	r := &rig{
		t: t, o: o, private: private, sink: linktest.NewSink(),
		rng: rand.New(rand.NewPCG(1, 2)),
	}
	names := []string{"a", "b"}[:1]
	if o.two {
		names = []string{"a", "b"}
	}
	for _, name := range names {
		r.diodes = append(r.diodes, &diodeRig{
			name: name, lab: netlab.NewLink(t, o.net), sendDir: t.TempDir(), recvDir: t.TempDir(), source: linktest.NewSource(diode.Bulk),
		})
	}
	r.source = r.diodes[0].source
	t.Cleanup(r.stop)
	return r
}

// up starts both ends.
func (r *rig) up() *rig {
	r.t.Helper()
	r.startRecv()
	for i := range r.diodes {
		r.startSend(i)
	}
	return r
}

func (r *rig) stop() {
	r.t.Helper()
	for i := range r.diodes {
		r.stopSend(i)
	}
	r.stopRecv()
}

func psk() [32]byte { return [32]byte{1, 2, 3} }

func epoch() diode.Epoch { return diode.Epoch{ID: [16]byte{7}, Start: 1} }

func (r *rig) startSend(i int) {
	r.t.Helper()
	d := r.diodes[i]
	dst := net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.lab.FarAddr, port))
	must(r.t, d.lab.Near.Do(func() (err error) { d.conn, err = net.DialUDP("udp", nil, dst); return err }))
	c := send.Config{
		Link: d.name, PSK: psk(), KeyID: keyID, Public: r.private.PublicKey(), Conn: d.conn, MTU: max(r.o.net.MTU, 1500),
		IPv6: r.o.net.IPv6, RateBits: 300_000_000, StateDir: d.sendDir, Parallel: r.o.two,
		Classes: map[diode.Class]send.ClassConfig{diode.Bulk: {Source: d.source, Epoch: epoch()}},
	}
	if r.o.send != nil {
		r.o.send(&c)
	}
	s, err := send.New(c)
	must(r.t, err)
	d.tx, d.sender = s, start(r.t, s.Run)
}

func (r *rig) stopSend(i int) {
	r.t.Helper()
	d := r.diodes[i]
	if d.sender == nil {
		return
	}
	d.sender.stop(r.t)
	d.sender = nil
	_ = d.conn.Close()
}

func (r *rig) startRecv() {
	r.t.Helper()
	c := recv.Config{Sink: r.sink, Positions: r.sink.Positions(), Open: r.sink.Open(), HoleAfter: 2 * time.Second}
	r.far = nil
	for _, d := range r.diodes {
		at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.lab.FarAddr, port))
		var conn *net.UDPConn
		must(r.t, d.lab.Far.Do(func() (err error) { conn, err = net.ListenUDP("udp", at); return err }))
		r.far = append(r.far, conn)
		c.Paths = append(c.Paths, recv.Path{
			Link: d.name, Keys: []recv.Key{{ID: keyID, PSK: psk(), Private: r.private}}, Conn: conn, StateDir: d.recvDir,
		})
	}
	if r.o.recv != nil {
		r.o.recv(&c)
	}
	rx, err := recv.New(c)
	must(r.t, err)
	r.rx, r.receiver = rx, start(r.t, rx.Run)
}

func (r *rig) stopRecv() {
	r.t.Helper()
	if r.receiver == nil {
		return
	}
	r.receiver.stop(r.t)
	r.receiver = nil
	for _, c := range r.far {
		_ = c.Close()
	}
}

// add gives the source n batches of up to size bytes.
func (r *rig) add(n, size int) {
	for range n {
		data := make([]byte, 1+r.rng.IntN(size))
		for i := range data {
			data[i] = byte(i)
		}
		// The rest of the content need not be random to be told apart: the link's
		// own digest is not what is tested here, the comparison is with the source.
		for range 8 {
			data[r.rng.IntN(len(data))] = byte(r.rng.Uint32())
		}
		weight := r.rng.Uint32N(1000)
		for _, d := range r.diodes {
			d.source.Add(data, weight)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until polls for a condition.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("%s: not within %v; far side: %+v", what, patience, r.rx.Stats())
		}
	}
}
