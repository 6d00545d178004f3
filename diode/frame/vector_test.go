package frame_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

var update = flag.Bool("update", false, "write testdata/*.vector anew")

// A vector is lines of "name: value" and, last, "datagram:" in hex. expect is
// what a receiver with this key must say of the datagram.
type vector map[string]string

func vectorPSK() (k [32]byte) { return sha256.Sum256([]byte("vector psk")) }

func vectorSecret() (k [32]byte) { return sha256.Sum256([]byte("vector secret")) }

const (
	vectorLink    = 0x11223344
	vectorKey     = 5
	vectorSession = 1_800_000_000
)

func vectorOrigin() frame.Origin {
	return frame.Origin{
		Epoch: [16]byte{1, 2, 3}, Prev: [16]byte{9, 8, 7},
		Ends: []frame.PrevEnd{{Class: diode.Bulk, Known: true, Last: 77, Sum: 7700}, {Class: diode.Critical}},
	}
}

func vectorSealer(tb testing.TB) *frame.Sealer {
	tb.Helper()
	k, err := frame.DeriveTraffic(vectorPSK(), vectorSecret(), frame.SuiteRandom, vectorLink, vectorKey, vectorSession)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := frame.NewSealer(k)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func vectorOpener(tb testing.TB) *frame.Opener {
	tb.Helper()
	k, err := frame.DeriveTraffic(vectorPSK(), vectorSecret(), frame.SuiteRandom, vectorLink, vectorKey, vectorSession)
	if err != nil {
		tb.Fatal(err)
	}
	o, err := frame.NewOpener(k)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

func vectorAnnounceKey(tb testing.TB) [32]byte {
	tb.Helper()
	key, err := frame.AnnounceKey(vectorPSK())
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func vectorAnnouncement(tb testing.TB) []byte {
	tb.Helper()
	a := frame.Announcement{
		LinkID: vectorLink, KeyID: vectorKey, Session: vectorSession, Suite: frame.SuiteRandom,
		Secret: vectorSecret(), Origin: vectorOrigin(),
	}
	return a.Append(nil, vectorAnnounceKey(tb))
}

// vectorShard is shard 0 of block 3: block header, batch 12 of 5 bytes, padding.
func vectorShard() []byte {
	shard := make([]byte, 64)
	frame.PutBlockHeader(shard, frame.BlockHeaderBytes)
	data := []byte("hello")
	b := frame.BatchHeader{
		Flags: frame.FlagCopiesFollow, Length: 5, Seq: 12, SumBefore: 1100, Weight: 42, Digest: frame.NewDigester().Digest(data),
	}
	b.Put(shard[frame.BlockHeaderBytes:])
	copy(shard[frame.BlockHeaderBytes+frame.BatchHeaderBytes:], data)
	return shard
}

func vectorShardHeader() frame.Header {
	return frame.Header{
		Kind: frame.KindShard, LinkID: vectorLink, KeyID: vectorKey, Session: vectorSession, Counter: 4, Block: 3, Class: 1,
		Code: frame.CodeClassic, Flags: frame.FlagSpread, K: 1, M: 4, Shard: 64, Start: frame.BlockHeaderBytes,
	}
}

func vectorHeartbeat() frame.Heartbeat {
	return frame.Heartbeat{
		Origin: vectorOrigin(), Clock: time.Unix(1_800_000_001, 250), Every: time.Second,
		Bounds: []frame.Bounds{{Class: 0, First: 1, Sent: 10, SentSum: 1000, Accepted: 12, AcceptedSum: 1142}},
		Health: []byte("near side is well"),
	}
}

func makeVectors(tb testing.TB) map[string]vector {
	tb.Helper()
	sealer := vectorSealer(tb)
	h := vectorShardHeader()
	shard := sealer.Seal(make([]byte, 0, 256), &h, vectorShard())
	beat := frame.Header{
		Kind: frame.KindHeartbeat, LinkID: vectorLink, KeyID: vectorKey, Session: vectorSession, Counter: 5, Start: frame.NoStart,
	}
	hb := vectorHeartbeat()
	heartbeat := sealer.Seal(make([]byte, 0, 1024), &beat, hb.Append(nil))
	announcement := vectorAnnouncement(tb)
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[i] ^= 1
		return b
	}
	return map[string]vector{
		"announcement":         made("ok announcement", announcement),
		"announcement_forged":  made("bad mac", flip(announcement, len(announcement)-1)),
		"announcement_suite":   made("bad mac", flip(announcement, frame.HeaderBytes+1)),
		"shard":                made("ok shard", shard),
		"shard_flipped":        made("bad tag", flip(shard, frame.HeaderBytes+7)),
		"shard_counter":        made("bad tag", flip(shard, 27)),
		"shard_short":          made("short", shard[:frame.HeaderBytes+frame.TagBytes-1]),
		"shard_cut":            made("bad header", shard[:len(shard)-1]),
		"shard_version":        made("bad version", flip(shard, 2)),
		"shard_magic":          made("bad magic", flip(shard, 0)),
		"shard_reserved":       made("bad header", flip(shard, 47)),
		"heartbeat":            made("ok heartbeat", heartbeat),
		"heartbeat_other_kind": made("bad mac", flip(heartbeat, 3)),
	}
}

func made(expect string, b []byte) vector {
	return vector{
		"expect": expect, "psk": hex.EncodeToString(sum32(vectorPSK())), "secret": hex.EncodeToString(sum32(vectorSecret())),
		"link": strconv.Itoa(vectorLink), "key": strconv.Itoa(vectorKey), "session": strconv.Itoa(vectorSession),
		"datagram": hex.EncodeToString(b),
	}
}

func sum32(b [32]byte) []byte { return b[:] }

// verdict reads the datagram as a receiver does.
func verdict(tb testing.TB, b []byte) string {
	tb.Helper()
	var h frame.Header
	switch err := h.Parse(b); {
	case errors.Is(err, frame.ErrShort):
		return "short"
	case errors.Is(err, frame.ErrMagic):
		return "bad magic"
	case errors.Is(err, frame.ErrVersion):
		return "bad version"
	case err != nil:
		return "bad header"
	}
	if h.Kind == frame.KindAnnounce {
		if !frame.CheckAnnouncement(b, vectorAnnounceKey(tb)) {
			return "bad mac"
		}
		return "ok announcement"
	}
	if _, err := vectorOpener(tb).Open(nil, &h, b); err != nil {
		return "bad tag"
	}
	if h.Kind == frame.KindHeartbeat {
		return "ok heartbeat"
	}
	return "ok shard"
}

func TestVectors(t *testing.T) {
	made := makeVectors(t)
	if *update {
		for name, v := range made {
			writeVector(t, name, v)
		}
	}
	files, err := filepath.Glob("testdata/*.vector")
	if err != nil || len(files) != len(made) {
		t.Fatalf("%d vectors on disk, %d made: %v", len(files), len(made), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".vector")
		t.Run(name, func(t *testing.T) {
			v := readVector(t, file)
			b, err := hex.DecodeString(v["datagram"])
			if err != nil {
				t.Fatal(err)
			}
			if v["datagram"] != made[name]["datagram"] {
				t.Errorf("the encoder writes other bytes:\n%s\n%s", made[name]["datagram"], v["datagram"])
			}
			if got := verdict(t, b); got != v["expect"] {
				t.Errorf("%q, expect %q", got, v["expect"])
			}
		})
	}
}

func writeVector(t *testing.T, name string, v vector) {
	t.Helper()
	var b bytes.Buffer
	for _, k := range []string{"expect", "psk", "secret", "link", "key", "session", "datagram"} {
		fmt.Fprintf(&b, "%s: %s\n", k, v[k])
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".vector"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readVector(t *testing.T, file string) vector {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	v := vector{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, ok := strings.Cut(s.Text(), ": ")
		if !ok {
			t.Fatalf("%s: %q", file, s.Text())
		}
		v[name] = value
	}
	return v
}
