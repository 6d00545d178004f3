package e2e_test

import (
	"bytes"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// counts of the delivery test: distinct messages over TLS, opaque datagrams over two receivers, syslog datagrams.
const (
	tlsMessages    = 100_000
	opaqueDatagram = 10_000 // per receiver
	udpMessages    = 500
)

// TestDeliveryOverALossyLink sends through both nodes and compares every byte on the far side, with random loss on the
// link: three receivers of UDP with three targets, so that a datagram that took a wrong way would be foreign there.
func TestDeliveryOverALossyLink(t *testing.T) {
	for _, c := range []struct {
		name string
		loss float64
	}{{"1 percent lost", 1}, {"5 percent lost", 5}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, link{rate: "300Mbit", parity: "35%", designLoss: "5%"})
			p.site.Link.Lose(c.loss)
			kics := []*collector{
				collect(t, p.site.KICS, netip.AddrPortFrom(netlab.KICSAddr().Addr(), 20001)),
				collect(t, p.site.KICS, netip.AddrPortFrom(netlab.KICSAddr().Addr(), 20002)),
			}
			p.start()
			lines, short := messages("tls", tlsMessages), messages("udp", udpMessages)
			file := filepath.Join(p.dir, "in.log")
			writeFile(t, file, strings.Join(lines, "\n")+"\n", 0o600)
			ca := filepath.Join(p.plant.state, "plant", "certificates", "auto.crt")
			rsyslogTLS(t, p.site.Endpoint, p.dir, ca, file, netlab.PlantAddr().Addr().String(), 6514)
			sets := [][][]byte{datagrams(1, opaqueDatagram), datagrams(2, opaqueDatagram)}
			var wg sync.WaitGroup
			for i, port := range []uint16{20001, 20002} {
				wg.Go(func() {
					sendPaced(t, p.site.Endpoint, netip.AddrPortFrom(netlab.PlantAddr().Addr(), port), 5000, sets[i])
				})
			}
			udpFile := filepath.Join(p.dir, "udp.log")
			writeFile(t, udpFile, strings.Join(short, "\n")+"\n", 0o600)
			loggerUDP(t, p.site.Endpoint, udpFile, netlab.PlantAddr().Addr().String(), 5514)
			wg.Wait()
			p.dmz.eventually("everything on the far side", func() bool {
				return countLines(p.records()) >= tlsMessages+udpMessages && kics[0].count() >= opaqueDatagram && kics[1].count() >= opaqueDatagram
			})
			checkSyslog(t, p, lines, short)
			compare(t, "agents-a", kics[0].all(), sets[0], false)
			compare(t, "agents-b", kics[1].all(), sets[1], false)
			inOrder(t, "agents-a", kics[0].all(), sets[0])
			checkLink(t, p, c.loss)
			p.stop()
		})
	}
}

// checkSyslog compares the far side's file with what was sent, apart from what logger writes before a message.
func checkSyslog(t *testing.T, p *pair, lines, short []string) {
	t.Helper()
	var overTLS, overUDP [][]byte
	for _, r := range readRecords(t, p.records()) {
		b := r.bytes(t)
		if !strings.HasPrefix(r.Remote, netlab.EndpointAddr().Addr().String()+":") {
			t.Fatalf("record %s names remote %q", r.ID, r.Remote)
		}
		switch r.Receiver {
		case "tcp.syslog":
			overTLS = append(overTLS, b)
		case "udp.syslog":
			i := bytes.Index(b, []byte("udp-"))
			if i < 0 {
				t.Fatalf("logger never sent %q", b)
			}
			overUDP = append(overUDP, b[i:])
		default:
			t.Fatalf("record %s of receiver %q in the syslog file", r.ID, r.Receiver)
		}
	}
	want := make([][]byte, 0, len(lines))
	for _, l := range lines {
		want = append(want, []byte(syslogHead+l))
	}
	compare(t, "rsyslog over TLS", overTLS, want, false)
	want = want[:0]
	for _, l := range short {
		want = append(want, []byte(l))
	}
	compare(t, "logger over UDP", overUDP, want, false)
}

// inOrder checks that one source's datagrams kept their order.
func inOrder(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: datagram %d is out of order", what, i)
			return
		}
	}
}

// checkLink makes sure that the link really lost frames, at random, that nothing came back, and that no gap remained.
func checkLink(t *testing.T, p *pair, percent float64) {
	t.Helper()
	c := p.site.Link.Counts()
	rate := 100 * float64(c.Lost) / float64(c.Seen)
	t.Logf("link: %d frames, %d lost (%.2f %%), %d came back from the far side and were dropped", c.Seen, c.Lost, rate, c.Returned)
	if rate < percent*0.7 || rate > percent*1.3 {
		t.Errorf("%.2f %% of the frames were lost, the test is about %.0f %%", rate, percent)
	}
	if c.Returned != 0 {
		t.Errorf("the far side sent %d frames back", c.Returned)
	}
	for _, l := range p.dmz.status().Links {
		if l.Lost.Batches != 0 || l.Lost.Records != 0 {
			t.Errorf("link %s: %+v missing", l.Name, l.Lost)
		}
	}
	near, far := p.plant.spooled(nearOrigin), p.dmz.spooled(farOrigin)
	if near != far {
		t.Errorf("%d records durable on the near side, %d on the far side", near, far)
	}
}
