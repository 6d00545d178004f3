package send_test

import (
	"bytes"
	"context"
	"crypto/hpke"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/send"
)

func config(link send.PacketWriter, source send.Source, dir string) send.Config {
	return send.Config{
		Link: "test", PSK: [32]byte{1}, KeyID: 1, Public: private().PublicKey(), Conn: link, StateDir: dir,
		Classes: map[diode.Class]send.ClassConfig{diode.Bulk: class(1, source)},
	}
}

func class(n byte, source send.Source) send.ClassConfig {
	return send.ClassConfig{Source: source, Epoch: diode.Epoch{ID: [16]byte{n}}}
}

// private is the key of the receive node in all tests.
func private() hpke.PrivateKey {
	k, err := frame.KEM().NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	return k
}

// bench is a sender in a bubble and what it puts on the wire.
type bench struct {
	t      *testing.T
	link   *linktest.Link
	source *linktest.Source
	tx     *send.Sender
	stop   func() error
	sent   []onWire
	began  time.Time
	ear    *ear
	config send.Config
	limit  func(*send.Sender) // before it runs
}

type onWire struct {
	at   time.Duration
	h    frame.Header
	size int
}

func inBubble(t *testing.T, change func(*send.Config), f func(b *bench)) {
	t.Helper()
	inBubbleWith(t, change, func(*bench) {}, f)
}

func inBubbleWith(t *testing.T, change func(*send.Config), prepare, f func(b *bench)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, link: linktest.New(1, linktest.Faults{}), source: linktest.NewSource(diode.Bulk)}
		b.began = time.Now()
		b.link.Tap(func(p []byte) {
			var h frame.Header
			if err := h.Parse(p); err != nil {
				t.Errorf("sent no frame: %v", err)
			}
			b.sent = append(b.sent, onWire{time.Since(b.began), h, len(p)})
			if b.ear != nil {
				b.ear.hear(p)
			}
		})
		b.config = config(b.link, b.source, dir)
		change(&b.config)
		prepare(b)
		b.start()
		f(b)
		if err := b.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// start makes a sender and lets it run.
func (b *bench) start() {
	tx, err := send.New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.limit != nil {
		b.limit(tx)
	}
	b.tx, b.stop = tx, run(b.t, tx)
}

func run(t *testing.T, tx *send.Sender) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tx.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// listening is inBubble with an ear and short sessions.
func listening(t *testing.T, change func(*send.Config), limit func(*send.Sender), f func(b *bench, e *ear)) {
	t.Helper()
	inBubbleWith(t, change, func(b *bench) { b.limit = limit; b.listenIn() }, func(b *bench) { f(b, b.ear) })
}

func unlimited(*send.Sender) {}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// after lets time pass. Whoever looked at what was sent has done so before.
func (b *bench) after(d time.Duration) {
	b.link.Counts() // the tap runs under the same lock
	after(d)
}

func nothing(*send.Config) {}

func (b *bench) kinds(k frame.Kind) (list []onWire) {
	for _, x := range b.sent {
		if x.h.Kind == k {
			list = append(list, x)
		}
	}
	return list
}

func TestSessionIsAnnouncedBeforeData(t *testing.T) {
	inBubble(t, nothing, func(b *bench) {
		b.source.Add([]byte("x"), 1)
		b.after(time.Second)
		announced, beats := 0, 0
		for _, x := range b.sent {
			switch {
			case x.at >= 200*time.Millisecond:
			case x.h.Kind == frame.KindAnnounce:
				announced++
			case x.h.Kind == frame.KindHeartbeat:
				beats++
			default:
				t.Errorf("%+v at %v", x.h, x.at)
			}
		}
		if announced != 8 || beats != 3 {
			t.Errorf("%d announcements and %d heartbeats in the first 200 ms", announced, beats)
		}
		if first := b.kinds(frame.KindShard)[0]; first.at < 200*time.Millisecond {
			t.Errorf("data after %v", first.at)
		}
	})
}

// A lone small batch: its data leaves after max delay, its parity in three
// parts over 50 ms, and only then it counts as sent.
func TestSmallBlockSpreadsItsParity(t *testing.T) {
	inBubble(t, nothing, func(b *bench) {
		b.after(500 * time.Millisecond)
		began := len(b.sent)
		b.source.Add([]byte("alarm"), 1)
		b.after(40 * time.Millisecond)
		if got := b.source.SentThrough(); got != 0 {
			t.Errorf("sent through %d before its parity left", got)
		}
		b.after(100 * time.Millisecond)
		if got := b.source.SentThrough(); got != 1 {
			t.Errorf("sent through %d", got)
		}
		var at []time.Duration
		for _, x := range b.sent[began:] {
			if x.h.Kind == frame.KindShard {
				at = append(at, x.at-500*time.Millisecond)
				if x.h.K != 1 || x.h.M != 4 || x.h.Shard != 128 || x.h.Flags != frame.FlagSpread {
					t.Errorf("%+v", x.h)
				}
			}
		}
		const ms = time.Millisecond
		want := []time.Duration{5 * ms, 10 * ms, 10 * ms, 25 * ms, 55 * ms}
		for i := range want {
			if i >= len(at) || at[i] != want[i] {
				t.Fatalf("left at %v, want %v", at, want)
			}
		}
	})
}

func TestPacingInWireBytes(t *testing.T) {
	const rate = 8_000_000 // 1 MB/s
	inBubble(t, func(c *send.Config) { c.RateBits = rate }, func(b *bench) {
		b.source.Add(nil, 1)
		for range 100 {
			b.source.Add(make([]byte, 256<<10), 1)
		}
		b.after(20 * time.Second)
		b.checkRate(rate, 10_000)
		beats := b.kinds(frame.KindHeartbeat)
		for i := 1; i < len(beats); i++ {
			if gap := beats[i].at - beats[i-1].at; gap > 1100*time.Millisecond {
				t.Errorf("heartbeat %d came %v after the one before", i, gap)
			}
		}
	})
}

// With a backlog of both, critical gets more and bulk is not starved.
func TestClassesShareTheLine(t *testing.T) {
	critical := linktest.NewSource(diode.Critical)
	inBubble(t, func(c *send.Config) { c.RateBits = 8_000_000; c.Classes[diode.Critical] = class(2, critical) }, func(b *bench) {
		for range 100 {
			b.source.Add(make([]byte, 100<<10), 1)
			critical.Add(make([]byte, 100<<10), 1)
		}
		b.after(10 * time.Second)
		var bytes [2]int
		for _, x := range b.kinds(frame.KindShard) {
			bytes[x.h.Class] += x.size
		}
		ratio := float64(bytes[1]) / float64(bytes[0])
		if ratio < 3 || ratio > 5 {
			t.Errorf("bulk %d, critical %d bytes: ratio %.1f, want about 4", bytes[0], bytes[1], ratio)
		}
	})
}

func TestRepeatsAndSent(t *testing.T) {
	inBubble(t, func(c *send.Config) { c.Repeat = []time.Duration{time.Second, 3 * time.Second} }, func(b *bench) {
		b.after(300 * time.Millisecond)
		b.source.Add([]byte("again"), 1)
		b.after(3 * time.Second)
		if got := b.source.SentThrough(); got != 0 {
			t.Errorf("sent through %d before the last repeat", got)
		}
		b.after(200 * time.Millisecond)
		if got := b.source.SentThrough(); got != 1 {
			t.Errorf("sent through %d", got)
		}
		if st := b.tx.Stats(); st.Batches != 1 || st.Copies != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// A link that takes nothing: nothing counts as sent; afterwards the sender
// goes back over what it sent shortly before.
func TestHoldAndRewind(t *testing.T) {
	for _, cause := range []error{syscall.ENETDOWN, syscall.EPERM, syscall.ECONNREFUSED, syscall.EHOSTUNREACH} {
		inBubble(t, nothing, func(b *bench) {
			for range 3 {
				b.source.Add([]byte("before"), 1)
			}
			b.after(time.Second)
			b.link.Fail(os.NewSyscallError("write", cause))
			b.source.Add([]byte("during"), 1)
			b.after(10 * time.Second)
			if st := b.tx.Stats(); !st.Holding || st.HoldingCause == "" || b.source.SentThrough() != 3 {
				t.Errorf("%v: sent through %d, %+v", cause, b.source.SentThrough(), st)
			}
			b.link.Fail(nil)
			b.after(time.Second)
			st := b.tx.Stats()
			if st.Holding || st.Holds != 1 || b.source.SentThrough() != 4 || st.Copies != 3+1 {
				t.Errorf("%v: sent through %d, %+v", cause, b.source.SentThrough(), st)
			}
		})
	}
}

// What goes out once more after an error does not count as sent meanwhile: a
// carrier that was lost may have taken the first copy along, and the far side
// must not conclude from a heartbeat that it is lost.
func TestHeartbeatsGoBackWithTheSender(t *testing.T) {
	listening(t, nothing, unlimited, func(b *bench, e *ear) {
		for range 3 {
			b.source.Add([]byte("before"), 1)
		}
		b.after(time.Second)
		b.link.Fail(syscall.ENETDOWN)
		b.after(10 * time.Second)
		held := len(e.beats)
		b.link.Fail(nil)
		b.after(3 * time.Second)
		var said [][2]uint64
		for _, beat := range e.beats[held:] {
			said = append(said, [2]uint64{beat.Series[0].Sent, beat.Series[0].SentSum})
		}
		if len(said) < 3 || said[0] != [2]uint64{} || said[len(said)-1] != [2]uint64{3, 3} {
			t.Errorf("sent through and its sums, after the error: %v", said)
		}
		if got := b.source.SentThrough(); got != 3 {
			t.Errorf("the source was told %d", got)
		}
	})
}

func TestNoBufferSpaceIsRetriedWithoutRewind(t *testing.T) {
	inBubble(t, nothing, func(b *bench) {
		b.after(500 * time.Millisecond)
		b.link.Fail(syscall.ENOBUFS)
		b.source.Add([]byte("x"), 1)
		b.after(100 * time.Millisecond)
		b.link.Fail(nil)
		b.after(200 * time.Millisecond)
		if st := b.tx.Stats(); st.Holds != 0 || st.Copies != 0 || b.source.SentThrough() != 1 {
			t.Errorf("%+v", st)
		}
	})
}

func TestFullBlocksAndInterleaving(t *testing.T) {
	for _, depth := range []int{1, 4} {
		inBubble(t, func(c *send.Config) { c.Interleave, c.RateBits = depth, 1_000_000_000 }, func(b *bench) {
			b.after(500 * time.Millisecond)
			b.source.Add(make([]byte, 1<<20), 1)
			b.source.Add(make([]byte, 1<<20), 1)
			b.after(time.Second)
			inRow, longest, open := 0, 0, 0
			var last uint64
			for i, x := range b.kinds(frame.KindShard) {
				if x.h.Code == frame.CodeOpen {
					open++
				}
				if x.h.Block != last || i == 0 {
					inRow, last = 0, x.h.Block
				}
				inRow++
				longest = max(longest, inRow)
			}
			if depth == 1 && (longest != 256 || open == 0) {
				t.Errorf("depth 1: %d frames of one block in a row, %d left while it was open", longest, open)
			}
			// The last group is flushed by the timer with what it has.
			if depth == 4 && b.interleaved(4) < 2*256 {
				t.Errorf("depth 4: %d frames alternate", b.interleaved(4))
			}
		})
	}
}

// interleaved counts the frames that follow one of another of depth blocks.
func (b *bench) interleaved(depth uint64) (n int) {
	shards := b.kinds(frame.KindShard)
	for i := 1; i < len(shards); i++ {
		if shards[i].h.Block/depth == shards[i-1].h.Block/depth && shards[i].h.Block != shards[i-1].h.Block {
			n++
		}
	}
	return n
}

func TestOversizeBatchIsLeftOut(t *testing.T) {
	inBubble(t, nothing, func(b *bench) {
		b.source.Add(make([]byte, diode.MaxBatchBytes+1), 1)
		b.source.Add([]byte("next"), 1)
		b.after(time.Second)
		if st := b.tx.Stats(); st.Oversize != 1 || st.Batches != 1 || b.source.SentThrough() != 2 {
			t.Errorf("sent through %d, %+v", b.source.SentThrough(), st)
		}
	})
}

func TestSessionNumbersRise(t *testing.T) {
	dir := t.TempDir()
	var last uint64
	for range 3 {
		synctest.Test(t, func(t *testing.T) { // each bubble begins at the same second
			link := linktest.New(1, linktest.Faults{})
			tx, err := send.New(config(link, linktest.NewSource(diode.Bulk), dir))
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, tx)
			after(time.Second)
			if got := tx.Stats().Session; got <= last {
				t.Errorf("session %d after %d", got, last)
			} else {
				last = got
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// failing is a source that fails, or a connection that does.
type failing struct {
	*linktest.Source
	next, write error
}

func (f failing) Next(ctx context.Context, buf []byte) (diode.Batch, error) {
	if f.next != nil {
		return diode.Batch{}, f.next
	}
	return f.Source.Next(ctx, buf)
}

func (f failing) Write(p []byte) (int, error) { return len(p), f.write }

func TestErrorsThatEndRun(t *testing.T) {
	gone := errors.New("disk gone")
	for name, c := range map[string]struct {
		f    failing
		want error
	}{
		"source": {failing{next: gone}, gone},
		"mtu":    {failing{write: syscall.EMSGSIZE}, syscall.EMSGSIZE},
		"closed": {failing{write: net.ErrClosed}, net.ErrClosed},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			c.f.Source = linktest.NewSource(diode.Bulk)
			tx, err := send.New(config(c.f, c.f, dir))
			if err != nil {
				t.Fatal(err)
			}
			if err := tx.Run(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*send.Config){
		"no name":          func(c *send.Config) { c.Link = "" },
		"pre-shared key":   func(c *send.Config) { c.PSK = [32]byte{} },
		"no epoch":         func(c *send.Config) { c.Classes[0] = class(0, c.Classes[0].Source) },
		"no source":        func(c *send.Config) { c.Classes[0] = class(1, nil) },
		"no public key":    func(c *send.Config) { c.Public = nil },
		"resend rate":      func(c *send.Config) { c.ResendBits = 200_000_000 },
		"no connection":    func(c *send.Config) { c.Conn = nil },
		"classes":          func(c *send.Config) { c.Classes = nil },
		"rate":             func(c *send.Config) { c.RateBits = 1000 },
		"parity":           func(c *send.Config) { c.Parity = 1.1 },
		"design loss":      func(c *send.Config) { c.DesignLoss = 0.5 },
		"max delay":        func(c *send.Config) { c.MaxDelay = time.Second },
		"interleave":       func(c *send.Config) { c.Interleave = 17 },
		"heartbeat":        func(c *send.Config) { c.Heartbeat = time.Hour },
		"repeat":           func(c *send.Config) { c.Repeat = []time.Duration{-1} },
		"rising":           func(c *send.Config) { c.Repeat = []time.Duration{2, 1} },
		"mtu":              func(c *send.Config) { c.MTU = 500 },
		"no shape":         func(c *send.Config) { c.DesignLoss, c.Parity = 0.2, 1 },
		"state directory":  func(c *send.Config) { c.StateDir = "" },
		"9 repeats":        func(c *send.Config) { c.Repeat = make([]time.Duration, 9) },
		"below 64000":      func(c *send.Config) { c.RateBits = 63_999 },
		"10ms and 1m":      func(c *send.Config) { c.Heartbeat = time.Millisecond },
		"between 1 and 16": func(c *send.Config) { c.Interleave = -1 },
	} {
		c := config(linktest.New(1, linktest.Faults{}), linktest.NewSource(diode.Bulk), t.TempDir())
		change(&c)
		_, err := send.New(c)
		if err == nil {
			if name != "no shape" { // 128+128 survives 20 %
				t.Errorf("%s: accepted", name)
			}
			continue
		}
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Data that has left while its block was open is not held back by the block.
func TestWholeShardsLeaveAtOnce(t *testing.T) {
	inBubble(t, func(c *send.Config) { c.MaxDelay = 200 * time.Millisecond; c.RateBits = 1_000_000_000 }, func(b *bench) {
		b.after(500 * time.Millisecond)
		began := len(b.sent)
		b.source.Add(bytes.Repeat([]byte("x"), 10*1408), 1)
		b.after(time.Millisecond)
		if got := len(b.sent[began:]); got < 10 {
			t.Errorf("%d frames left in the first millisecond", got)
		}
	})
}
