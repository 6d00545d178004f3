package e2e_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// TestKilledProcessesLoseNothingAcknowledged kills every process of both nodes, one after the other, while data flow.
// Whatever the near spool has made durable must come out on the far side, once in the file, and no gap may remain: the
// link repeats each batch, because frames that reach a dead far core are lost (see docs/decisions/0004).
func TestKilledProcessesLoseNothingAcknowledged(t *testing.T) {
	p := newPair(t, link{rate: "300Mbit", parity: "25%", designLoss: "1%", repeat: `"2s", "12s"`})
	kics := []*collector{
		collect(t, p.site.KICS, netip.AddrPortFrom(netlab.KICSAddr().Addr(), 20001)),
		collect(t, p.site.KICS, netip.AddrPortFrom(netlab.KICSAddr().Addr(), 20002)),
	}
	p.start()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { sendForEver(ctx, p.site.Endpoint) })
	for i, port := range []uint16{20001, 20002} {
		wg.Go(func() {
			sendPacedUntil(ctx, t, p.site.Endpoint, netip.AddrPortFrom(netlab.PlantAddr().Addr(), port), byte('a'+i))
		})
	}
	var durable uint64 // of the core's lives before the present one
	for _, victim := range []struct {
		name string
		kill func()
	}{
		{"receiver tcp", func() { p.plant.killPlugin("tcp.syslog") }},
		{"receiver udp", func() { p.plant.killPlugin("udp.agents-a") }},
		{"sink file", func() { p.dmz.killPlugin("file.records") }},
		{"sink kics", func() { p.dmz.killPlugin("kics.a") }},
		{"near core", func() { durable = p.plant.spooled(nearOrigin); p.plant.kill(); p.plant.start() }},
		{"far core", func() { p.dmz.kill(); p.dmz.start() }},
		{"near core again", func() { durable = p.plant.spooled(nearOrigin); p.plant.kill(); p.plant.start() }},
		{"far core again", func() { p.dmz.kill(); p.dmz.start() }},
	} {
		before := p.plant.spooled(nearOrigin)
		p.plant.eventually("records before the kill of "+victim.name, func() bool { return p.plant.spooled(nearOrigin) > before+200 })
		t.Logf("killing %s with %d records durable", victim.name, p.plant.spooled(nearOrigin))
		victim.kill()
		if now := p.plant.spooled(nearOrigin); now < durable {
			t.Fatalf("after the kill of %s the near spool holds %d records, %d were durable", victim.name, now, durable)
		}
	}
	stop()
	wg.Wait()
	near := settled(p.plant)
	p.dmz.eventually("the far side holds what the near side made durable", func() bool { return p.dmz.spooled(farOrigin) == near })
	for _, l := range p.dmz.status().Links {
		if l.Lost.Batches != 0 {
			t.Errorf("link %s: %+v missing", l.Name, l.Lost)
		}
	}
	p.dmz.eventually("sinks have delivered", func() bool { return lag(p.dmz) == 0 })
	ids := map[string]bool{}
	for _, r := range readRecords(t, p.records()) {
		if ids[r.ID] {
			t.Errorf("record %s stands twice in the file", r.ID)
		}
		ids[r.ID] = true
	}
	delivered := uint64(len(ids) + distinct(kics[0].all()) + distinct(kics[1].all()))
	t.Logf("%d records durable on the near side, %d in the file, %d and %d distinct datagrams", near, len(ids), distinct(kics[0].all()), distinct(kics[1].all()))
	if delivered != near {
		t.Errorf("%d records came out, %d had been made durable", delivered, near)
	}
	p.stop()
}

// settled waits until the near spool grows no more and returns what it holds.
func settled(n *node) uint64 {
	n.t.Helper()
	last, same := n.spooled(nearOrigin), 0
	n.eventually("the near spool is at rest", func() bool {
		now := n.spooled(nearOrigin)
		if now == last && now > 0 {
			same++
		} else {
			last, same = now, 0
		}
		return same >= 25 // half a second, a hundred times the receivers' linger
	})
	return last
}

// lag is how many records wait for some sink or link of the node; more than none until there is an answer.
func lag(n *node) uint64 {
	spools := n.tryStatus().Spools
	if len(spools) == 0 {
		return 1
	}
	var sum uint64
	for _, s := range spools {
		for _, c := range s.Cursors {
			sum += c.LagRecords
		}
	}
	return sum
}

func distinct(grams [][]byte) int {
	seen := map[string]bool{}
	for _, g := range grams {
		seen[string(g)] = true
	}
	return len(seen)
}

// sendForEver sends numbered syslog lines over TLS and connects again when the connection breaks.
func sendForEver(ctx context.Context, ns *netlab.Namespace) {
	n := 0
	for ctx.Err() == nil {
		conn, err := dialTLS(ctx, ns)
		if err != nil {
			sleep(ctx, 20*time.Millisecond)
			continue
		}
		for ctx.Err() == nil {
			n++
			_ = conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
			if _, err := fmt.Fprintf(conn, "<13>1 - e2e app - - - killtest-%07d\n", n); err != nil {
				break
			}
			if n%20 == 0 {
				sleep(ctx, 2*time.Millisecond)
			}
		}
		_ = conn.Close()
	}
}

func dialTLS(ctx context.Context, ns *netlab.Namespace) (net.Conn, error) {
	var raw net.Conn
	err := ns.Do(func() (err error) {
		d := net.Dialer{Timeout: time.Second}
		raw, err = d.DialContext(ctx, "tcp", netip.AddrPortFrom(netlab.PlantAddr().Addr(), 6514).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}

// sendPacedUntil sends numbered datagrams, a thousand a second.
func sendPacedUntil(ctx context.Context, t *testing.T, ns *netlab.Namespace, target netip.AddrPort, who byte) {
	t.Helper()
	var conn net.Conn
	if err := ns.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "udp", target.String())
		return err
	}); err != nil {
		t.Error(err)
		return
	}
	defer conn.Close() //nolint:errcheck // a datagram socket
	for n := 0; ctx.Err() == nil; n++ {
		_, _ = fmt.Fprintf(conn, "%c-%07d", who, n) // refused while nobody listens: not acknowledged, so not counted
		sleep(ctx, time.Millisecond)
	}
}

// sleep paces a sender; nothing is concluded from it.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// TestStoppedCoresLoseNothing stops each core for most of a second, again and again, while data flow: a busy machine
// does the same. Nothing is repeated here, and nothing may be missing: what the near core had not finished it finishes,
// and what came for the far core waits in its socket.
func TestStoppedCoresLoseNothing(t *testing.T) {
	p := newPair(t, link{rate: "100Mbit", parity: "25%", designLoss: "1%"})
	kics := collect(t, p.site.KICS, netip.AddrPortFrom(netlab.KICSAddr().Addr(), 20001))
	p.start()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { sendForEver(ctx, p.site.Endpoint) })
	wg.Go(func() {
		sendPacedUntil(ctx, t, p.site.Endpoint, netip.AddrPortFrom(netlab.PlantAddr().Addr(), 20001), 'a')
	})
	for range 4 {
		for _, n := range []*node{p.plant, p.dmz} {
			before := p.plant.spooled(nearOrigin)
			n.eventually("data flow", func() bool { return p.plant.spooled(nearOrigin) > before+500 })
			n.pause(700 * time.Millisecond)
		}
	}
	stop()
	wg.Wait()
	near := settled(p.plant)
	p.dmz.eventually("the far side holds what the near side made durable", func() bool { return p.dmz.spooled(farOrigin) == near })
	for _, l := range p.dmz.status().Links {
		if l.Lost.Batches != 0 {
			t.Errorf("link %s: %+v missing", l.Name, l.Lost)
		}
	}
	p.dmz.eventually("sinks have delivered", func() bool { return lag(p.dmz) == 0 })
	if got := uint64(countLines(p.records()) + distinct(kics.all())); got != near {
		t.Errorf("%d records came out, %d had been made durable", got, near)
	}
	p.stop()
}

// pause stops the node's core for a while, as a machine does that has no processor for it.
func (n *node) pause(d time.Duration) {
	n.t.Helper()
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := n.cmd.Process.Signal(s); err != nil {
			n.t.Fatal(err)
		}
		if s == syscall.SIGSTOP {
			sleep(n.t.Context(), d) // the length of the stop is what is tested
		}
	}
}
