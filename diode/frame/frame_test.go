package frame_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

func TestShardBytes(t *testing.T) {
	for _, c := range []struct {
		mtu  int
		ipv6 bool
		want int
	}{
		{1500, false, 1408},
		{1500, true, 1344},
		{1496, false, 1344},
		{9000, false, 8896},
		{9000, true, 8832},
		{1280, true, 1152},
		{65536, false, 65408},
	} {
		got, err := frame.ShardBytes(c.mtu, c.ipv6)
		if err != nil || got != c.want {
			t.Errorf("mtu %d ipv6 %v: %d %v, want %d", c.mtu, c.ipv6, got, err, c.want)
		}
	}
	for _, mtu := range []int{0, -1, 576, 1000} {
		if got, err := frame.ShardBytes(mtu, false); err == nil {
			t.Errorf("mtu %d accepted: %d", mtu, got)
		}
	}
}

func TestSealedFrameOpens(t *testing.T) {
	h := vectorShardHeader()
	sealed := vectorSealer(t).Seal(make([]byte, 0, 512), &h, vectorShard())
	var got frame.Header
	if err := got.Parse(sealed); err != nil || got != h {
		t.Fatalf("%+v %v", got, err)
	}
	plain, err := vectorOpener(t).Open(nil, &got, sealed)
	if err != nil || !bytes.Equal(plain, vectorShard()) {
		t.Fatal(err)
	}
	var b frame.BatchHeader
	if err := b.Parse(plain[frame.BlockHeaderBytes:]); err != nil || b.Seq != 12 || b.SumBefore != 1100 || b.Epoch[2] != 3 || b.Time != 1_799_999_999_000_000_500 {
		t.Fatalf("%+v %v", b, err)
	}
}

// Every bit of a sealed frame counts.
func TestAnyFlippedBitIsRefused(t *testing.T) {
	h := vectorShardHeader()
	sealed := vectorSealer(t).Seal(make([]byte, 0, 512), &h, vectorShard())
	opener := vectorOpener(t)
	for bit := range len(sealed) * 8 {
		b := bytes.Clone(sealed)
		b[bit/8] ^= 1 << (bit % 8)
		var h frame.Header
		if h.Parse(b) != nil {
			continue
		}
		if _, err := opener.Open(nil, &h, b); !errors.Is(err, frame.ErrTag) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}

func TestKeysDifferByUse(t *testing.T) {
	base, err := frame.DeriveTraffic(vectorPSK(), vectorSecret(t), 1, 1, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	announce := vectorAnnounceKey(t)
	if announce == vectorPSK() || announce == base.Key || base.Key == vectorPSK() || base.Key == vectorSecret(t) {
		t.Fatal("one key serves two uses")
	}
	for _, other := range [][4]uint64{{2, 1, 1, 1}, {1, 2, 1, 1}, {1, 1, 2, 1}, {1, 1, 1, 2}} {
		k, err := frame.DeriveTraffic(vectorPSK(), vectorSecret(t), frame.Suite(other[0]), uint32(other[1]), uint32(other[2]), other[3])
		if err != nil || k.Key == base.Key || k.IV == base.IV {
			t.Fatalf("%v: same key or IV (%v)", other, err)
		}
	}
}

func TestAnnouncementAndHeartbeatRoundTrip(t *testing.T) {
	b := vectorAnnouncement(t)
	a, err := frame.ParseAnnouncement(b)
	if err != nil || a.Session != vectorSession || a.Encapsulation != vectorEncapsulation(t) {
		t.Fatalf("%+v %v", a, err)
	}
	want := vectorHeartbeat()
	got, err := frame.ParseHeartbeat(want.Append(nil))
	if err != nil || !got.Clock.Equal(want.Clock) {
		t.Fatalf("%+v %v", got, err)
	}
	got.Clock = want.Clock
	for i := range got.Series {
		if !got.Series[i].Oldest.Equal(want.Series[i].Oldest) {
			t.Errorf("oldest %v, want %v", got.Series[i].Oldest, want.Series[i].Oldest)
		}
		got.Series[i].Oldest = want.Series[i].Oldest
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v\n%+v", got, want)
	}
}

// The largest heartbeat fits the smallest shard that ShardBytes gives.
func TestLargestHeartbeatFits(t *testing.T) {
	var h frame.Heartbeat
	for c := range diode.MaxClasses {
		h.Series = append(h.Series, frame.Series{Class: diode.Class(c)})
	}
	h.Health = make([]byte, 10_000)
	if got := len(h.Append(nil)); got > 1088 {
		t.Fatalf("%d bytes", got)
	}
}

// An announcement and the largest heartbeat fit the smallest MTU of IPv6.
func TestEverythingFitsTheSmallestMTU(t *testing.T) {
	const room = 1280 - 40 - 8 // bytes; RFC 8200, section 5, IP and UDP headers taken off
	if got := len(vectorAnnouncement(t)); got != 1204 || got > room {
		t.Errorf("announcement of %d bytes", got)
	}
	if shard, err := frame.ShardBytes(1280, true); err != nil || frame.Overhead+shard > room {
		t.Errorf("shard of %d bytes: %v", shard, err)
	}
}

func TestEncapsulation(t *testing.T) {
	private := vectorPrivate(t)
	enc, secret, err := frame.Encapsulate(private.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := frame.Decapsulate(private, enc); err != nil || got != secret {
		t.Errorf("another secret: %v", err)
	}
	again, other, err := frame.Encapsulate(private.PublicKey())
	if err != nil || again == enc || other == secret {
		t.Errorf("two sessions share a secret: %v", err)
	}
	enc[0] ^= 1 // ML-KEM rejects implicitly: another secret and no error (FIPS 203, section 6.3)
	if got, err := frame.Decapsulate(private, enc); err == nil && got == secret {
		t.Error("a changed encapsulation gives the same secret")
	}
	if _, _, err := frame.Encapsulate(otherKey(t)); err == nil {
		t.Error("a key of another kind is accepted")
	}
}

func otherKey(t *testing.T) hpke.PublicKey {
	t.Helper()
	k, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.PublicKey()
}

func TestTestFrameRoundTrip(t *testing.T) {
	want := vectorTest()
	b := want.Append(nil, 1408)
	got, err := frame.ParseTest(b)
	if err != nil || len(b) != 1408 || !got.Sent.Equal(want.Sent) {
		t.Fatalf("%d bytes, %+v %v", len(b), got, err)
	}
	got.Sent = want.Sent
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for name, bad := range map[string]frame.Test{
		"step": {Step: 3, Steps: 3, Count: 1}, "number": {Steps: 1, Number: 9, Count: 9}, "nothing": {},
	} {
		if _, err := frame.ParseTest(bad.Append(nil, 64)); !errors.Is(err, frame.ErrBody) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	base := vectorHeartbeat()
	beat := base.Append(nil)
	change := func(i int, v byte) []byte {
		b := bytes.Clone(beat)
		b[i] = v
		return b
	}
	const count, series = 76, 77 // offsets in docs/formats/diode-frame.md
	for name, b := range map[string][]byte{
		"empty": nil, "cut": beat[:len(beat)-1], "too long": append(bytes.Clone(beat), 0), "classes": change(count, diode.MaxClasses+1),
		"fewer classes than said": change(count, 3), "flag": change(series+1, 2), "start 0": change(series+34+7, 0),
	} {
		if _, err := frame.ParseHeartbeat(b); !errors.Is(err, frame.ErrBody) {
			t.Errorf("heartbeat, %s: %v", name, err)
		}
	}
	announcement := vectorAnnouncement(t)
	for name, b := range map[string][]byte{"cut": announcement[:1203], "too long": append(bytes.Clone(announcement), 0)} {
		if _, err := frame.ParseAnnouncement(b); !errors.Is(err, frame.ErrBody) {
			t.Errorf("announcement, %s: %v", name, err)
		}
	}
	for _, i := range []int{frame.HeaderBytes + 1, frame.HeaderBytes + 3} {
		b := bytes.Clone(announcement)
		b[i]++
		if _, err := frame.ParseAnnouncement(b); !errors.Is(err, frame.ErrBody) {
			t.Errorf("announcement, byte %d: %v", i, err)
		}
	}
}

// The window accepts each counter once, whatever the order, as long as it is
// not too old.
func TestWindowModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w frame.Window
		floor := rapid.Uint64Range(0, 100).Draw(t, "floor")
		w.Restore(floor)
		seen := map[uint64]bool{}
		top := floor
		for range rapid.IntRange(1, 300).Draw(t, "n") {
			step := rapid.SampledFrom([]int64{-20000, -16384, -16383, -300, -3, -1, 0, 1, 2, 70, 5000, 20000}).Draw(t, "step")
			c := uint64(max(int64(top)+step, 0))
			want := c >= floor && !seen[c] && (c >= top || top-c <= 16384)
			if got := w.Fresh(c); got != want {
				t.Fatalf("counter %d, top %d: fresh %v, want %v", c, top, got, want)
			}
			if want {
				w.Mark(c)
				seen[c] = true
				top = max(top, c+1)
			}
			if w.Top() != top {
				t.Fatalf("top %d, want %d", w.Top(), top)
			}
		}
	})
}

// A session ends before its counter would leave 32 bits.
func TestWindowEndsWithTheSession(t *testing.T) {
	var w frame.Window
	if !w.Fresh(frame.MaxFrames - 1) {
		t.Error("the last counter is refused")
	}
	if w.Fresh(frame.MaxFrames) {
		t.Error("a counter beyond the last is accepted")
	}
}

// Every bit of the counter is in the nonce: what is sealed under two counters
// of a session never shares its key stream.
func TestNonceHoldsTheWholeCounter(t *testing.T) {
	h, seen := vectorShardHeader(), map[string]int{}
	for bit := range 65 {
		h.Counter = 0
		if bit < 64 {
			h.Counter = 1 << bit
		}
		sealed := vectorSealer(t).Seal(make([]byte, 0, 512), &h, vectorShard())
		body := string(sealed[frame.HeaderBytes : len(sealed)-frame.TagBytes])
		if other, ok := seen[body]; ok {
			t.Fatalf("counters that differ in bits %d and %d give the same key stream", other, bit)
		}
		seen[body] = bit
	}
}

func TestSealingDoesNotAllocate(t *testing.T) {
	s, o := vectorSealer(t), vectorOpener(t)
	h := vectorShardHeader()
	h.Shard = 1408
	plain, dst, out := make([]byte, 1408), make([]byte, 0, 2048), make([]byte, 0, 2048)
	n := testing.AllocsPerRun(100, func() {
		b := s.Seal(dst, &h, plain)
		var got frame.Header
		if got.Parse(b) != nil {
			t.Fatal("own frame refused")
		}
		if _, err := o.Open(out, &got, b); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations per frame", n)
	}
}

func BenchmarkSeal(b *testing.B) {
	s := vectorSealer(b)
	h := vectorShardHeader()
	plain, dst := make([]byte, 1408), make([]byte, 0, 2048)
	b.SetBytes(1408)
	b.ReportAllocs()
	for b.Loop() {
		h.Counter++
		s.Seal(dst, &h, plain)
	}
}

func BenchmarkOpen(b *testing.B) {
	s, o := vectorSealer(b), vectorOpener(b)
	h := vectorShardHeader()
	h.Shard = 1408
	sealed, out := s.Seal(make([]byte, 0, 2048), &h, make([]byte, 1408)), make([]byte, 0, 2048)
	b.SetBytes(1408)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Open(out, &h, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
