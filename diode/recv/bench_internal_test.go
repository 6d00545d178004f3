package recv

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

type noSink struct{}

func (noSink) Deliver(_ context.Context, _ diode.Batch, done func(error)) error {
	done(nil)
	return nil
}
func (noSink) Gap(context.Context, diode.Gap) error { return nil }

type noConn struct{}

func (noConn) Read([]byte) (int, error)        { return 0, nil }
func (noConn) SetReadDeadline(time.Time) error { return nil }

// benchPath is a path that nothing reads, with an announcement of a session
// that it holds, and a second one whose HMAC is wrong.
func benchPath(b *testing.B) (p *path, held, forged []byte) {
	b.Helper()
	private, err := frame.KEM().DeriveKeyPair(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	r, err := New(Config{
		Paths: []Path{{Link: "bench", Keys: []Key{{ID: 1, PSK: [32]byte{1}, Private: private}}, Conn: noConn{}, StateDir: b.TempDir()}},
		Sink:  noSink{},
	})
	if err != nil {
		b.Fatal(err)
	}
	p = r.paths[0]
	r.turn()
	enc, _, err := frame.Encapsulate(private.PublicKey())
	if err != nil {
		b.Fatal(err)
	}
	a := frame.Announcement{LinkID: p.cfg.LinkID, KeyID: 1, Session: 100, Suite: frame.SuiteHybrid, Encapsulation: enc}
	held = a.Append(nil, p.keys[0].announce)
	p.datagram(held)
	if p.frames.Sessions != 1 {
		b.Fatal("not accepted")
	}
	forged = bytes.Clone(held)
	forged[len(forged)-1] ^= 1
	return p, held, forged
}

// One operation is what 50,000 announcements that arrive within a second cost:
// it must stay below 100 ms.
func BenchmarkAnnouncementFlood(b *testing.B) {
	for _, name := range []string{"forged", "replayed"} {
		b.Run(name, func(b *testing.B) {
			p, flood, forged := benchPath(b)
			if name == "forged" {
				flood = forged
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range 50_000 {
					if i%500 == 0 {
						p.now = p.now.Add(budgetEvery)
					}
					p.datagram(flood)
				}
			}
		})
	}
}

// What a frame costs that is not ours, or not of this session, or replayed.
func BenchmarkBadFrame(b *testing.B) {
	p, _, _ := benchPath(b)
	d := make([]byte, frame.Overhead+1408)
	h := frame.Header{Kind: frame.KindShard, LinkID: p.cfg.LinkID, KeyID: 1, Session: 100, Code: frame.CodeClassic, K: 1, M: 1, Shard: 1408, Start: frame.NoStart}
	h.Put(d)
	b.ReportAllocs()
	for b.Loop() {
		p.datagram(d)
	}
}
