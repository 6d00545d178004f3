package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

const (
	probePort    = 7399
	probeBytes   = 1400 // per datagram
	probeBurst   = 40   // datagrams in one call: a loss that hits bursts instead of frames shows
	probeFrames  = 40_000
	probePause   = 200 * time.Microsecond // between two bursts: nothing but the wire may lose
	probeSilence = 300 * time.Millisecond
	// probeSlack is how far share and run of the losses may be from what the row says. 40,000 frames at 1 % are 400
	// losses with a standard deviation of 20.
	probeSlack = 0.2
)

// probeResult is what numbered datagrams have shown.
type probeResult struct {
	sent, lost int
	run        float64 // mean number of datagrams lost in a row
	counts     wireCounts
}

func (p probeResult) String() string {
	return fmt.Sprintf("%d of %d datagrams lost (counters: %d of %d), mean run %.2f", p.lost, p.sent, p.counts.lost, p.counts.seen, p.run)
}

// check compares the result with what the row says.
func (p probeResult) check(x loss) error {
	if p.counts.seen != uint64(p.sent) || p.counts.lost != uint64(p.lost) {
		return fmt.Errorf("loss %s: the counters do not fit: %s", x.name, p)
	}
	near := func(got, want float64) bool { return got >= want*(1-probeSlack) && got <= want*(1+probeSlack) }
	if !near(float64(p.lost)/float64(p.sent), x.share()) || p.lost > 0 && !near(p.run, x.run()) {
		return fmt.Errorf("loss %s: want a share of %.4f in runs of %.2f: %s", x.name, x.share(), x.run(), p)
	}
	return nil
}

// probe makes the wire lose as the row says and shows that it does. The wire stays so.
func (l *lab) probe(ctx context.Context, x loss) error {
	if err := l.wire.set(ctx, x); err != nil || l.probed[x.name] {
		return err
	}
	p, err := l.numbered(ctx, x)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "loss %s: %s\n", x.name, p)
	if err := p.check(x); err != nil {
		return err
	}
	l.probed[x.name] = true
	return l.wire.set(ctx, x)
}

// numbered sends numbered datagrams over the wire in bursts and looks which are missing.
func (l *lab) numbered(ctx context.Context, x loss) (probeResult, error) {
	frames := max(probeFrames, 2*x.every)
	at := fmt.Sprintf("%s:%d", l.forked.toAddr, probePort)
	var rx *net.UDPConn
	err := l.far.Do(func() (err error) { rx, err = listenRoomy(ctx, at); return err })
	if err != nil {
		return probeResult{}, err
	}
	defer rx.Close() //nolint:errcheck // nothing more is wanted of it
	type got struct {
		lost []bool
		err  error
	}
	done := make(chan got, 1)
	ended := make(chan struct{})
	go func() {
		lost, err := missing(rx, frames, ended)
		done <- got{lost, err}
	}()
	err = l.near.Do(func() error { return sendNumbered(ctx, at, frames) })
	close(ended)
	g := <-done
	if err := errors.Join(err, g.err); err != nil {
		return probeResult{}, err
	}
	p := probeResult{sent: frames, run: netlab.MeanRun(g.lost)}
	for _, lost := range g.lost {
		if lost {
			p.lost++
		}
	}
	p.counts, err = l.wire.counts(ctx)
	return p, err
}

func sendNumbered(ctx context.Context, to string, frames int) error {
	d := net.Dialer{}
	c, err := d.DialContext(ctx, "udp", to)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing more is wanted of it
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return fmt.Errorf("%T is no UDP socket", c)
	}
	if err := segmented(conn, probeBytes); err != nil {
		return err
	}
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	burst := make([]byte, 0, probeBurst*probeBytes)
	for n := 0; n < frames; {
		burst = burst[:0]
		for ; n < frames && len(burst) < cap(burst); n++ {
			burst = binary.BigEndian.AppendUint32(burst, uint32(n))
			burst = burst[:len(burst)+probeBytes-4]
		}
		if _, err := conn.Write(burst); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

// missing reads numbered datagrams until ended and silence, and says which did not come.
func missing(rx *net.UDPConn, frames int, ended <-chan struct{}) ([]bool, error) {
	lost := make([]bool, frames)
	for i := range lost {
		lost[i] = true
	}
	buf := make([]byte, 2*probeBytes)
	for {
		if err := rx.SetReadDeadline(time.Now().Add(probeSilence)); err != nil {
			return nil, err
		}
		n, err := rx.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			select {
			case <-ended:
				return lost, nil
			default:
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		if i := binary.BigEndian.Uint32(buf); n == probeBytes && int(i) < frames {
			lost[i] = false
		}
	}
}
