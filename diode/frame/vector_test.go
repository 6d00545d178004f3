package frame_test

import (
	"bufio"
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
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

func vectorPrivate(tb testing.TB) hpke.PrivateKey {
	tb.Helper()
	seed := sha256.Sum256([]byte("vector private key"))
	private, err := frame.KEM().NewPrivateKey(seed[:])
	if err != nil {
		tb.Fatal(err)
	}
	return private
}

// vectorEncapsulation is one that was recorded: each encapsulation is another.
func vectorEncapsulation(tb testing.TB) (enc [frame.EncapsulationBytes]byte) {
	tb.Helper()
	b, err := hex.DecodeString(readVector(tb, sessionFile)["encapsulation"])
	if err != nil || copy(enc[:], b) != len(enc) {
		tb.Fatalf("%d bytes: %v", len(b), err)
	}
	return enc
}

func vectorSecret(tb testing.TB) [32]byte {
	tb.Helper()
	secret, err := frame.Decapsulate(vectorPrivate(tb), vectorEncapsulation(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return secret
}

func vectorTraffic(tb testing.TB) frame.TrafficKey {
	tb.Helper()
	k, err := frame.DeriveTraffic(vectorPSK(), vectorSecret(tb), frame.SuiteHybrid, vectorLink, vectorKey, vectorSession)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

const (
	vectorLink    = 0x11223344
	vectorKey     = 5
	vectorSession = 1_800_000_000

	// sessionFile says how the keys of all vectors come about.
	sessionFile = "testdata/session.keys"
)

func vectorSealer(tb testing.TB) *frame.Sealer {
	tb.Helper()
	s, err := frame.NewSealer(vectorTraffic(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func vectorOpener(tb testing.TB) *frame.Opener {
	tb.Helper()
	o, err := frame.NewOpener(vectorTraffic(tb))
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
		LinkID: vectorLink, KeyID: vectorKey, Session: vectorSession, Suite: frame.SuiteHybrid,
		Encapsulation: vectorEncapsulation(tb),
	}
	return a.Append(nil, vectorAnnounceKey(tb))
}

// vectorShard is shard 0 of block 3: block header, batch 12 of 5 bytes, padding.
func vectorShard() []byte {
	shard := make([]byte, 128)
	frame.PutBlockHeader(shard, frame.BlockHeaderBytes)
	data := []byte("hello")
	b := frame.BatchHeader{
		Flags: frame.FlagCopiesFollow, Length: 5, Seq: 12, SumBefore: 1100, Weight: 42, Digest: frame.NewDigester().Digest(data),
		Epoch: [16]byte{1, 2, 3}, Time: 1_799_999_999_000_000_500,
	}
	b.Put(shard[frame.BlockHeaderBytes:])
	copy(shard[frame.BlockHeaderBytes+frame.BatchHeaderBytes:], data)
	return shard
}

func vectorShardHeader() frame.Header {
	return frame.Header{
		Kind: frame.KindShard, LinkID: vectorLink, KeyID: vectorKey, Session: vectorSession, Counter: 4, Block: 3, Class: 1,
		Code: frame.CodeClassic, Flags: frame.FlagSpread, K: 1, M: 4, Shard: 128, Start: frame.BlockHeaderBytes,
	}
}

func vectorHeartbeat() frame.Heartbeat {
	return frame.Heartbeat{
		Clock: time.Unix(1_800_000_001, 250), Every: time.Second, Next: vectorSession + 60, SwitchAt: 70_000,
		Counters: frame.Counters{Frames: 66_000, WireBytes: 99_000_000, Copies: 3, Missing: 2, Holds: 1, Oversize: 4},
		Series: []frame.Series{
			{
				Class: diode.Bulk, Epoch: diode.Epoch{ID: [16]byte{1, 2, 3}, Start: 8, StartSum: 700, Prev: [16]byte{9, 8, 7}, PrevKnown: true},
				First: 1, Sent: 10, SentSum: 1000, Accepted: 12, AcceptedSum: 1142, Oldest: time.Unix(1_800_000_000, 500),
			},
			{Class: diode.Critical, Epoch: diode.Epoch{ID: [16]byte{4, 5, 6}, Start: 1}, First: 1},
		},
		Health: []byte("near side is well"),
	}
}

func vectorTest() frame.Test {
	return frame.Test{
		Run: 7, Rate: 500_000_000, Step: 1, Steps: 3, Number: 250, Count: 1000, Sent: time.Unix(1_800_000_002, 750),
	}
}

func makeVectors(tb testing.TB) map[string]vector {
	tb.Helper()
	sealer := vectorSealer(tb)
	h := vectorShardHeader()
	shard := sealer.Seal(make([]byte, 0, 512), &h, vectorShard())
	beat := frame.Header{
		Kind: frame.KindHeartbeat, LinkID: vectorLink, KeyID: vectorKey, Session: vectorSession, Counter: 5, Start: frame.NoStart,
	}
	hb := vectorHeartbeat()
	heartbeat := sealer.Seal(make([]byte, 0, 1024), &beat, hb.Append(nil))
	announcement := vectorAnnouncement(tb)
	head := frame.Header{
		Kind: frame.KindTest, LinkID: vectorLink, KeyID: vectorKey, Session: vectorSession, Counter: 6, Start: frame.NoStart,
	}
	pattern := vectorTest()
	test := sealer.Seal(make([]byte, 0, 1024), &head, pattern.Append(nil, 128))
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
		"test":                 made("ok test", test),
		"test_class":           made("bad tag", flip(test, 36)),
	}
}

func made(expect string, b []byte) vector {
	return vector{
		"expect": expect, "psk": hex.EncodeToString(sum32(vectorPSK())), "link": strconv.Itoa(vectorLink),
		"key": strconv.Itoa(vectorKey), "session": strconv.Itoa(vectorSession),
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
	return map[frame.Kind]string{
		frame.KindHeartbeat: "ok heartbeat", frame.KindTest: "ok test", frame.KindShard: "ok shard",
	}[h.Kind]
}

// session is what session.keys holds: each step from the private key, the
// encapsulation and the pre-shared key to the keys of the frames.
func session(tb testing.TB) vector {
	tb.Helper()
	private, err := vectorPrivate(tb).Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	enc, secret, announce, traffic := vectorEncapsulation(tb), vectorSecret(tb), vectorAnnounceKey(tb), vectorTraffic(tb)
	return vector{
		"private": hex.EncodeToString(private), "public": hex.EncodeToString(vectorPrivate(tb).PublicKey().Bytes()),
		"encapsulation": hex.EncodeToString(enc[:]), "secret": hex.EncodeToString(secret[:]),
		"psk": hex.EncodeToString(sum32(vectorPSK())), "suite": strconv.Itoa(int(frame.SuiteHybrid)),
		"link": strconv.Itoa(vectorLink), "key": strconv.Itoa(vectorKey), "session": strconv.Itoa(vectorSession),
		"announce_key": hex.EncodeToString(announce[:]),
		"traffic_key":  hex.EncodeToString(traffic.Key[:]), "traffic_iv": hex.EncodeToString(traffic.IV[:]),
	}
}

func TestSessionKeys(t *testing.T) {
	if _, err := os.Stat(sessionFile); *update && errors.Is(err, fs.ErrNotExist) {
		enc, _, err := frame.Encapsulate(vectorPrivate(t).PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		writeVector(t, sessionFile, vector{"encapsulation": hex.EncodeToString(enc[:])})
	}
	made := session(t)
	if *update {
		writeVector(t, sessionFile, made)
	}
	if got := readVector(t, sessionFile); !maps.Equal(got, made) {
		t.Errorf("on disk %v\nmade %v", got, made)
	}
}

func TestVectors(t *testing.T) {
	made := makeVectors(t)
	if *update {
		for name, v := range made {
			writeVector(t, filepath.Join("testdata", name+".vector"), v)
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

func writeVector(t *testing.T, file string, v vector) {
	t.Helper()
	var b bytes.Buffer
	for _, k := range []string{
		"expect", "private", "public", "encapsulation", "secret", "psk", "suite", "link", "key", "session",
		"announce_key", "traffic_key", "traffic_iv", "datagram",
	} {
		if v[k] != "" {
			fmt.Fprintf(&b, "%s: %s\n", k, v[k])
		}
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readVector(tb testing.TB, file string) vector {
	tb.Helper()
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	v := vector{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, ok := strings.Cut(s.Text(), ": ")
		if !ok {
			tb.Fatalf("%s: %q", file, s.Text())
		}
		v[name] = value
	}
	return v
}
