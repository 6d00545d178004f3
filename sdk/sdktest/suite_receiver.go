package sdktest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// ReceiverSuite tells the suite how to play an endpoint of the receiver under test.
type ReceiverSuite struct {
	Options
	// Message is what an endpoint sends for record i: a datagram, or bytes of a stream with their framing. It is called
	// from several goroutines.
	Message func(i int) []byte
	// Payload is the record that must come of message i; nil = the message itself.
	Payload func(i int) []byte
	// Client makes of a connection what an endpoint writes to, for example by TLS; nil = the connection.
	Client func(t testing.TB, c net.Conn) net.Conn
	// Answer reads the answer to one message, for receivers whose traits say that they answer.
	Answer func(in *bufio.Reader) error
}

// Receiver holds a receiver to the contract. construct returns a new one each time.
func Receiver(t *testing.T, construct func() sdk.Receiver, s ReceiverSuite) {
	t.Helper()
	if s.Payload == nil {
		s.Payload = s.Message
	}
	if s.Client == nil {
		s.Client = func(_ testing.TB, c net.Conn) net.Conn { return c }
	}
	filled := s.filled(t, sdk.KindReceiver)
	c := common{
		kind: sdk.KindReceiver, config: filled.Config,
		construct: func() sdk.Plugin { return construct() },
		open:      func(t *testing.T) *border { t.Helper(); return openReceiver(t, construct(), s.Options).border },
		setup:     func(t *testing.T) sdk.Setup { t.Helper(); return s.filled(t, sdk.KindReceiver).setup() },
		run: func(ctx context.Context, b *border) error {
			return b.client.(sdk.Receiver).Run(ctx, nil, newIntake()) // made as one
		},
	}
	c.test(t)
	traits, _, err := construct().Validate(t.Context(), []byte(filled.Config))
	if err != nil {
		t.Fatal(err)
	}
	r := receiverSuite{ReceiverSuite: s, construct: construct, traits: traits}
	c.sub(t, "records arrive", r.arrive)
	c.sub(t, "a dropped batch does not stop the receiver", r.dropped)
	c.sub(t, "drain delivers what was taken in", r.drain)
	c.sub(t, "drain ends by its deadline without acknowledgements", r.drainStuck)
	c.sub(t, "cancel ends run promptly", r.cancel)
	c.sub(t, "back-pressure bounds memory", r.pressure)
	if traits.Network == "tcp" {
		c.sub(t, "garbage harms one connection", r.garbage)
		c.sub(t, "nothing is answered before the acknowledgement", r.answers)
	}
}

type receiverSuite struct {
	ReceiverSuite
	construct func() sdk.Receiver
	traits    sdk.Traits
}

var suiteRemote = netip.MustParseAddrPort("192.0.2.17:40001")

// endpoint sends messages over whatever the receiver listens on.
type endpoint struct {
	h    *ReceiverHarness
	conn net.Conn // nil for datagrams
	s    *receiverSuite
}

func (r *receiverSuite) start(t *testing.T) (*ReceiverHarness, *endpoint) {
	t.Helper()
	h := NewReceiver(t, r.construct(), r.Options)
	e := &endpoint{h: h, s: r}
	if r.traits.Network == "tcp" {
		e.conn = r.dial(t, h)
	}
	return h, e
}

// dial connects an endpoint. One that is answered reads its answers, or the receiver could not write them.
func (r *receiverSuite) dial(t *testing.T, h *ReceiverHarness) net.Conn {
	t.Helper()
	c := r.Client(t, h.Dial(t, suiteRemote))
	if r.traits.Answers {
		go io.Copy(io.Discard, c) //nolint:errcheck // ends with the connection, which the harness closes
	}
	return c
}

func (e *endpoint) send(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := e.write(t, e.s.Message(i), patience); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}

func (e *endpoint) write(t *testing.T, message []byte, within time.Duration) error {
	t.Helper()
	if e.conn == nil {
		return e.h.sendDatagrams(t, within, []sdk.Datagram{{Remote: suiteRemote, Payload: message}})
	}
	_ = e.conn.SetWriteDeadline(time.Now().Add(within))
	_, err := e.conn.Write(message)
	return err
}

// close ends the endpoint's side, as one does that has sent everything.
func (e *endpoint) close() {
	if e.conn == nil {
		e.h.CloseFeeds()
		return
	}
	if c, ok := e.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func (r *receiverSuite) arrive(t *testing.T) {
	began := time.Now().Add(-time.Second)
	h, e := r.start(t)
	e.send(t, 0, bulkCount)
	recs := h.Records(t, bulkCount)
	for i := range recs {
		r.check(t, h, i, &recs[i])
		if recs[i].Received.Before(began) || recs[i].Received.After(time.Now().Add(time.Second)) {
			t.Fatalf("record %d: received at %v", i, recs[i].Received)
		}
	}
	if asked := h.Refused(); len(asked) > 0 {
		t.Errorf("the receiver asked for %q beyond its grants", asked)
	}
	h.Stop(t)
}

func (r *receiverSuite) check(t *testing.T, h *ReceiverHarness, i int, rec *sdk.Record) {
	t.Helper()
	if want := r.Payload(i); !bytes.Equal(rec.Payload, want) {
		t.Fatalf("record %d: payload %.80q, want %.80q", i, rec.Payload, want)
	}
	if rec.Kind == 0 {
		t.Fatalf("record %d has no kind", i)
	}
	if rec.Connection.Remote != suiteRemote || rec.Connection.Interface != h.opts.Interface {
		t.Fatalf("record %d: from %v on %q, want %v on %q", i, rec.Connection.Remote, rec.Connection.Interface,
			suiteRemote, h.opts.Interface)
	}
}

// dropped: the endpoint may have to connect again, but the receiver goes on.
func (r *receiverSuite) dropped(t *testing.T) {
	h, e := r.start(t)
	h.FailNext(&sdk.Error{Code: sdk.CodeDropped, Detail: "the spool is full"})
	e.send(t, 0, 1)
	h.Records(t, 1)
	if e.conn != nil {
		e.conn = r.dial(t, h)
	}
	e.send(t, 1, 2)
	recs := h.Records(t, 2)
	r.check(t, h, 1, &recs[len(recs)-1])
	h.Stop(t)
}

func (r *receiverSuite) drain(t *testing.T) {
	h, e := r.start(t)
	e.send(t, 0, bulkCount)
	e.close()
	if err := h.Drain(t); err != nil {
		t.Errorf("run after drain: %v", err)
	}
	if recs := h.Records(t, 0); len(recs) != bulkCount || h.Acked() != bulkCount {
		t.Errorf("%d of %d records arrived and %d were acknowledged before Run returned", len(recs), bulkCount, h.Acked())
	}
	h.Stop(t)
}

func (r *receiverSuite) drainStuck(t *testing.T) {
	h, e := r.start(t)
	h.HoldAcks()
	e.send(t, 0, 1)
	h.Records(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), shortDrain)
	defer cancel()
	// The plugin's side may see the deadline a moment before this one and end the call for it.
	err := h.border.client.Drain(ctx)
	ended := err == nil || sdk.CodeOf(err) == sdk.CodeUnavailable || strings.Contains(err.Error(), context.DeadlineExceeded.Error())
	if !ended && ctx.Err() == nil {
		t.Errorf("drain: %v", err)
	}
	_ = h.border.wait(t, h.run, shortDrain+promptly) // what was not acknowledged may be an error
	h.Stop(t)
}

func (r *receiverSuite) cancel(t *testing.T) {
	h, e := r.start(t)
	h.HoldAcks()
	e.send(t, 0, 1)
	h.Records(t, 1)
	h.run.cancel()
	_ = h.border.wait(t, h.run, promptly) // the error of a cancelled Run says nothing
}

// What a receiver may have read while nothing is acknowledged: the credit, a Writer, socket buffers, and as much again.
const (
	pressureCredit = 1 << 20
	pressureBytes  = 8 << 20
	pressureBound  = pressureCredit + 2<<20
	stallTime      = 300 * time.Millisecond
)

// pressure floods a receiver whose core acknowledges nothing: it must stop reading, and lose nothing.
func (r *receiverSuite) pressure(t *testing.T) {
	small := *r
	small.Credit = pressureCredit
	h, e := small.start(t)
	h.HoldAcks()
	messages := 0
	for bytes := 0; bytes < pressureBytes; messages++ {
		bytes += len(r.Message(messages)) + 16
	}
	var written atomic.Int64
	sent := make(chan error, 1)
	go func() { sent <- r.flood(t, e, messages, &written) }()
	for last := int64(-1); written.Load() != last; {
		last = written.Load()
		select {
		case err := <-sent:
			t.Fatalf("the receiver took %d MiB with nothing acknowledged (%v): back-pressure must reach the endpoint",
				pressureBytes>>20, err)
		case <-time.After(stallTime):
		}
	}
	held := 0
	for _, rec := range h.Records(t, 1) {
		held += len(rec.Payload)
	}
	if held > pressureBound {
		t.Errorf("%d bytes delivered with nothing acknowledged, at most %d are allowed", held, pressureBound)
	}
	h.ReleaseAcks()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	recs := h.Records(t, messages)
	for i := range recs {
		r.check(t, h, i, &recs[i])
	}
	h.Stop(t)
}

// flood writes many messages at a time, as one write each would be slow.
func (r *receiverSuite) flood(t *testing.T, e *endpoint, messages int, written *atomic.Int64) error {
	if e.conn == nil {
		return r.floodDatagrams(t, e, messages, written)
	}
	_ = e.conn.SetWriteDeadline(time.Now().Add(2 * patience))
	var chunk []byte
	for i := range messages {
		chunk = append(chunk, r.Message(i)...)
		if len(chunk) < 64<<10 && i < messages-1 {
			continue
		}
		n, err := e.conn.Write(chunk)
		written.Add(int64(n))
		if err != nil {
			return err
		}
		chunk = chunk[:0]
	}
	return nil
}

func (r *receiverSuite) floodDatagrams(t *testing.T, e *endpoint, messages int, written *atomic.Int64) error {
	const many = 64 // datagrams of one frame
	for i := 0; i < messages; i += many {
		var grams []sdk.Datagram
		for j := i; j < min(i+many, messages); j++ {
			grams = append(grams, sdk.Datagram{Remote: suiteRemote, Payload: r.Message(j)})
		}
		if err := e.h.sendDatagrams(t, 2*patience, grams); err != nil {
			return err
		}
		written.Add(int64(len(grams)))
	}
	return nil
}

// garbage sends random bytes (the seed is fixed) on one connection and expects the next one to work.
func (r *receiverSuite) garbage(t *testing.T) {
	h, e := r.start(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // reproducible, protects nothing
	for range 20 {
		noise := make([]byte, random.IntN(8192))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		c := h.Dial(t, suiteRemote)
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(noise) // the receiver may close at once
		_ = c.Close()
	}
	e.send(t, 0, 1)
	want := r.Payload(0)
	h.until(t, "a record after garbage", func(recs []sdk.Record) bool {
		return slices.ContainsFunc(recs, func(r sdk.Record) bool { return bytes.Equal(r.Payload, want) })
	})
	h.Stop(t)
}

// answers checks the one promise to endpoints. A receiver that does not answer must never write.
func (r *receiverSuite) answers(t *testing.T) {
	h := NewReceiver(t, r.construct(), r.Options)
	e := &endpoint{h: h, s: r, conn: r.Client(t, h.Dial(t, suiteRemote))}
	in := bufio.NewReader(e.conn)
	h.HoldAcks()
	e.send(t, 0, 1)
	h.Records(t, 1)
	if r.Answer == nil {
		if r.traits.Answers {
			t.Fatal("the traits say that the receiver answers: ReceiverSuite.Answer must read an answer")
		}
		h.ReleaseAcks()
		r.silent(t, e)
		h.Stop(t)
		return
	}
	got := make(chan error, 1)
	go func() { got <- r.Answer(in) }()
	select {
	case err := <-got:
		t.Fatalf("answered before the acknowledgement (%v)", err)
	case <-time.After(stallTime):
	}
	h.ReleaseAcks()
	select {
	case err := <-got:
		if err != nil {
			t.Fatalf("answer: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("no answer after the acknowledgement")
	}
	h.Stop(t)
}

func (*receiverSuite) silent(t *testing.T, e *endpoint) {
	t.Helper()
	_ = e.conn.SetReadDeadline(time.Now().Add(stallTime))
	n, err := e.conn.Read(make([]byte, 1))
	if n > 0 || (err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF)) {
		t.Errorf("read %d bytes, %v: the traits say that the receiver does not answer", n, err)
	}
}
