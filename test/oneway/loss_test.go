package oneway_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// bulk is about 20 MB in batches as the gateway makes them.
func (r *rig) bulk() { r.add(160, 250_000) }

// noWayBack asserts that the far side sent nothing.
func (r *rig) noWayBack() {
	r.t.Helper()
	for _, d := range r.diodes {
		if n := d.lab.Counts().Returned; n > 0 {
			r.t.Errorf("%d frames came back over diode %s", n, d.name)
		}
	}
}

func TestRandomLoss(t *testing.T) {
	for _, mtu := range []int{1500, 9000} {
		for _, v6 := range []bool{false, true} {
			for _, loss := range []float64{0, 1, 5, 10} {
				t.Run(fmt.Sprintf("mtu %d ipv6 %v loss %v", mtu, v6, loss), func(t *testing.T) {
					r := newRig(t, options{
						net:  netlab.LinkOptions{MTU: mtu, IPv6: v6},
						send: func(c *send.Config) { c.DesignLoss = max(loss/100, 0.01) },
					})
					r.diodes[0].lab.Lose(loss)
					r.up()
					r.bulk()
					r.add(200, 300)
					r.whole()
					seen := r.diodes[0].lab.Counts()
					want := loss / 100 * float64(seen.Seen)
					if spread := 5*math.Sqrt(want) + 1e-9; math.Abs(float64(seen.Lost)-want) > spread {
						t.Errorf("loss of %.2f %% asked for, %d of %d lost", loss, seen.Lost, seen.Seen)
					}
					r.noWayBack()
				})
			}
		}
	}
}

func TestBursts(t *testing.T) {
	for _, c := range []struct{ run, every, batches int }{{100, 10_000, 400}, {500, 50_000, 1150}} {
		t.Run(fmt.Sprintf("%d in %d", c.run, c.every), func(t *testing.T) {
			r := newRig(t, options{send: func(s *send.Config) {
				s.Parity, s.DesignLoss, s.Interleave, s.RateBits = 32.0/192, 0, 16, 400_000_000
			}})
			r.diodes[0].lab.Set(netlab.Faults{Burst: c.run, Every: c.every})
			r.add(c.batches, 250_000) // a backlog: what trickles in is interleaved less deeply
			r.up()
			r.whole()
			seen := r.diodes[0].lab.Counts()
			if seen.Lost < uint64(2*c.run) {
				t.Errorf("only %d frames of %d were lost: not two bursts", seen.Lost, seen.Seen)
			}
			if wire := float64(r.diodes[0].tx.Stats().WireBytes) / float64(r.diodes[0].tx.Stats().PayloadBytes); wire > 1.30 {
				t.Errorf("wire ratio %.3f", wire)
			}
			r.noWayBack()
		})
	}
}

func TestOvertakenAndDoubled(t *testing.T) {
	t.Run("overtaken", func(t *testing.T) {
		r := newRig(t, options{send: func(c *send.Config) { c.RateBits = 50_000_000 }})
		r.diodes[0].lab.Shuffle(1, 10, 50)
		r.up()
		r.add(40, 250_000)
		r.add(200, 300)
		r.whole()
	})
	t.Run("doubled", func(t *testing.T) {
		r := newRig(t, options{})
		r.diodes[0].lab.Set(netlab.Faults{Double: 20, Lose: 1})
		r.up()
		r.bulk()
		r.add(200, 300)
		r.whole()
		if r.diodes[0].lab.Counts().Doubled == 0 {
			t.Error("nothing was doubled")
		}
	})
}

func TestFirstFramesLost(t *testing.T) {
	r := newRig(t, options{})
	r.diodes[0].lab.Set(netlab.Faults{First: 1000})
	r.up()
	r.bulk()
	c := r.settled()
	r.add(100, 10_000)
	after := r.settled()
	if after.named != c.named {
		t.Errorf("named %d more after the first frames", after.named-c.named)
	}
	// 1000 frames of 1408 bytes hold about 1.4 MB of batches of 125 kB on average.
	if c.named > 40 {
		t.Errorf("%d batches named for 1000 lost frames: %v", c.named, c.reasons)
	}
	r.resend(after)
}

func TestBeyondRepair(t *testing.T) {
	r := newRig(t, options{send: func(c *send.Config) { c.RateBits = 100_000_000 }})
	r.up()
	r.add(40, 250_000)
	r.whole()
	r.diodes[0].lab.Lose(30)
	r.add(150, 250_000)
	time.AfterFunc(2*time.Second, func() { r.diodes[0].lab.Lose(0) })
	r.settled()
	r.add(40, 250_000)
	c := r.settled()
	if c.named == 0 || c.delivered == 0 {
		t.Fatalf("%+v", c)
	}
	if uint64(c.delivered+c.named) != c.next-1 {
		t.Errorf("delivered %d, named %d, of %d", c.delivered, c.named, c.next-1)
	}
	if c.reasons["link"] == 0 {
		t.Errorf("reasons %v", c.reasons)
	}
	r.resend(c)
}

// resend asks for what is missing, and waits until nothing is.
func (r *rig) resend(c tally) {
	r.t.Helper()
	if len(c.missing) == 0 {
		return
	}
	_, err := r.diodes[0].tx.Resend(0, ranges(c.missing))
	must(r.t, err)
	r.until("resent", func() bool { return len(check(r.t, r.source, r.sink.Events()).missing) == 0 })
	if got := check(r.t, r.source, r.sink.Events()); got.late != c.late+len(c.missing) {
		r.t.Errorf("%d late fills for %d missing", got.late-c.late, len(c.missing))
	}
}

func TestFallbacks(t *testing.T) {
	for name, o := range map[string]options{
		"one write per frame": {send: func(c *send.Config) { c.Conn = plainWriter{c.Conn} }},
		"one read per frame":  {recv: func(c *recv.Config) { c.Paths[0].Conn = plainReader{c.Paths[0].Conn} }},
	} {
		t.Run(name, func(t *testing.T) {
			limit := o.send
			o.send = func(c *send.Config) {
				c.RateBits = 50_000_000 // a plain read has only the default socket buffer
				if limit != nil {
					limit(c)
				}
			}
			r := newRig(t, o)
			r.diodes[0].lab.Lose(1)
			r.up()
			r.add(60, 250_000)
			r.add(200, 300)
			r.whole()
		})
	}
}

// plainWriter and plainReader hide what a socket can do beyond Write and Read.
type plainWriter struct{ send.PacketWriter }

type plainReader struct{ recv.PacketReader }
