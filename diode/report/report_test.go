package report_test

import (
	"bufio"
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/report"
)

var update = flag.Bool("update", false, "write testdata/*.vector anew")

func vectorKey() report.Key {
	return report.Key{LinkID: 0x11223344, KeyID: 5, PSK: sha256.Sum256([]byte("vector psk"))}
}

func vectorReport() report.Report {
	return report.Report{MadeAt: time.Unix(1_800_000_000, 250), Entries: []report.Entry{
		{Epoch: [16]byte{1, 2, 3}, Class: diode.Bulk, First: 4711, Last: 4723},
		{Epoch: [16]byte{1, 2, 3}, Class: diode.Bulk, First: 4801, Last: 4801},
		{Epoch: [16]byte{1, 2, 3}, Class: diode.Critical, First: 2, Last: 3},
		{Epoch: [16]byte{9}, Class: diode.Bulk, First: 7},
	}}
}

func write(tb testing.TB, r report.Report, k report.Key) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := report.Write(&b, r, k); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// seal replaces what authenticates b, independently of the package.
func seal(b []byte, psk [32]byte) []byte {
	key, err := hkdf.Key(sha256.New, psk[:], nil, "sluice diode v1 gap-report", 32)
	if err != nil {
		panic(err)
	}
	m := hmac.New(sha256.New, key)
	m.Write(b)
	return m.Sum(bytes.Clone(b))
}

// vectors are the files of testdata: bytes and what a reader must say of them.
func vectors(tb testing.TB) map[string][2]string {
	tb.Helper()
	good := write(tb, vectorReport(), vectorKey())
	body := good[:len(good)-32]
	edit := func(off int, to ...byte) []byte {
		b := bytes.Clone(body)
		copy(b[off:], to)
		return seal(b, vectorKey().PSK)
	}
	flipped := bytes.Clone(good)
	flipped[40] ^= 1
	all := map[string][]byte{
		"good": good, "good_empty": write(tb, report.Report{MadeAt: time.Unix(1_800_000_000, 0)}, vectorKey()),
		"bad_flipped": flipped, "bad_cut": good[:len(good)-1], "bad_short": good[:59], "bad_magic": edit(0, 'X'),
		"bad_version": edit(4, 2), "bad_reserved": edit(7, 1), "bad_link": edit(8, 0), "bad_key": edit(15, 6), "bad_count": edit(27, 5),
		"bad_count_high": edit(24, 0xFF), "bad_odd_length": seal(append(bytes.Clone(body), 0), vectorKey().PSK),
		"bad_first_zero": edit(28+17, make([]byte, 8)...), "bad_reversed": edit(28+25+6, 0, 1), "bad_order": edit(28, 2),
		"bad_overlap": edit(28+33+17+6, 0x12, 0x73),
	}
	out := make(map[string][2]string)
	for name, b := range all {
		expect := "ok"
		if _, err := report.Read(b, vectorKey()); err != nil {
			expect = err.Error()
		}
		out[name] = [2]string{expect, hex.EncodeToString(b)}
	}
	return out
}

func TestVectors(t *testing.T) {
	for name, v := range vectors(t) {
		path := filepath.Join("testdata", name+".vector")
		text := fmt.Sprintf("expect: %s\npsk: %x\nlink: %d\nkey: %d\nfile: %s\n", v[0], vectorKey().PSK, vectorKey().LinkID, vectorKey().KeyID, v[1])
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("%s: is\n%s\nexpected\n%s", name, text, got)
		}
	}
	files, err := filepath.Glob("testdata/*.vector")
	if err != nil || len(files) != len(vectors(t)) {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		testVector(t, path)
	}
}

// testVector reads a file with nothing known but what stands in it.
func testVector(t *testing.T, path string) {
	t.Helper()
	v := readVector(t, path)
	var k report.Key
	psk, _ := hex.DecodeString(v["psk"])
	copy(k.PSK[:], psk)
	link, _ := strconv.ParseUint(v["link"], 10, 32)
	key, _ := strconv.ParseUint(v["key"], 10, 32)
	k.LinkID, k.KeyID = uint32(link), uint32(key)
	b, err := hex.DecodeString(v["file"])
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Read(b, k)
	switch {
	case v["expect"] != "ok":
		if err == nil || err.Error() != v["expect"] {
			t.Errorf("%s: %v, expected %s", path, err, v["expect"])
		}
	case err != nil:
		t.Errorf("%s: %v", path, err)
	case strings.HasSuffix(path, "good.vector") && !reflect.DeepEqual(r, vectorReport()):
		t.Errorf("%s: %+v", path, r)
	}
}

func readVector(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	v := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ": ")
		v[name] = value
	}
	return v
}

// TestVectorsSay holds the kinds of the refusals, which the files hold as text.
func TestVectorsSay(t *testing.T) {
	for name, v := range vectors(t) {
		b, _ := hex.DecodeString(v[1])
		_, err := report.Read(b, vectorKey())
		want := report.ErrMalformed
		switch name {
		case "good", "good_empty":
			want = nil
		case "bad_flipped", "bad_cut":
			want = report.ErrForged
		case "bad_link", "bad_key":
			want = report.ErrForeign
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryFlippedBitIsForged(t *testing.T) {
	good := write(t, vectorReport(), vectorKey())
	for i := range 8 * len(good) {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if _, err := report.Read(b, vectorKey()); !errors.Is(err, report.ErrForged) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
	other := vectorKey()
	other.PSK[31] ^= 1
	if _, err := report.Read(good, other); !errors.Is(err, report.ErrForged) {
		t.Errorf("another key: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for want, entries := range map[string][]report.Entry{
		"range 1: begins at 0": {{}},
		"range 1: 2-1":         {{First: 2, Last: 1}},
		"range 2: not in":      {{First: 2, Last: 2}, {First: 1, Last: 1}},
		"range 2: overlaps":    {{First: 1}, {First: 5, Last: 6}},
		"at most":              make([]report.Entry, report.MaxEntries+1),
	} {
		if err := report.Write(io.Discard, report.Report{Entries: entries}, vectorKey()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestLargestFile(t *testing.T) {
	var gaps []diode.Gap
	for i := range uint64(report.MaxEntries + 7) {
		gaps = append(gaps, diode.Gap{First: 1 + 2*i, Last: 1 + 2*i})
	}
	entries, left := report.From(gaps)
	if left != 7 || len(entries) != report.MaxEntries {
		t.Fatalf("%d entries, %d left", len(entries), left)
	}
	b := write(t, report.Report{Entries: entries}, vectorKey())
	if len(b) > report.MaxBytes || len(b)+33 <= report.MaxBytes {
		t.Errorf("%d bytes", len(b))
	}
	path := filepath.Join(t.TempDir(), "gaps")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := report.Load(path, vectorKey()); err != nil || len(r.Entries) != len(entries) {
		t.Errorf("%d entries, %v", len(r.Entries), err)
	}
	if err := os.WriteFile(path, append(b, make([]byte, report.MaxBytes)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Load(path, vectorKey()); !errors.Is(err, report.ErrMalformed) || !strings.Contains(err.Error(), path) {
		t.Errorf("too long: %v", err)
	}
	if _, err := report.Load(filepath.Dir(path), vectorKey()); err == nil {
		t.Error("a directory was read")
	}
}

// TestFrom compares with a set of sequences.
func TestFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 40
		type place struct {
			epoch byte
			class diode.Class
			seq   uint64
		}
		want := map[place]bool{}
		var gaps []diode.Gap
		for range rapid.IntRange(0, 12).Draw(t, "gaps") {
			g := diode.Gap{Class: diode.Class(rapid.IntRange(0, 1).Draw(t, "class"))}
			g.Epoch[0] = byte(rapid.IntRange(0, 2).Draw(t, "epoch"))
			g.First = rapid.Uint64Range(1, most).Draw(t, "first")
			g.Last = rapid.Uint64Range(g.First-1, most).Draw(t, "last")
			end := g.Last
			if g.Last < g.First {
				g.Last, end = 0, most+1
			}
			for seq := g.First; seq <= end; seq++ {
				want[place{g.Epoch[0], g.Class, seq}] = true
			}
			gaps = append(gaps, g)
		}
		entries, _ := report.From(gaps)
		r, err := report.Read(encode(t, entries), vectorKey())
		if err != nil {
			t.Fatal(err)
		}
		got := map[place]bool{}
		for _, e := range r.Entries {
			end := e.Last
			if e.Last == 0 {
				end = most + 1
			}
			for seq := e.First; seq <= end; seq++ {
				got[place{e.Epoch[0], e.Class, seq}] = true
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func encode(t *rapid.T, entries []report.Entry) []byte {
	var b bytes.Buffer
	if err := report.Write(&b, report.Report{Entries: entries}, vectorKey()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzRead(f *testing.F) {
	for _, v := range vectors(f) {
		b, _ := hex.DecodeString(v[1])
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(b []byte) {
			r, err := report.Read(b, vectorKey())
			if err != nil {
				return
			}
			if !bytes.Equal(write(t, r, vectorKey()), b) {
				t.Fatal("one report with two encodings")
			}
		}
		check(b)
		check(seal(b[:max(len(b)-32, 0)], vectorKey().PSK)) // behind the authentication
	})
}
