package ledger_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/ledger"
)

var update = flag.Bool("update", false, "write testdata/*.vector anew")

const logName = "gaps.ledger"

// grow writes a log of five frames: two declarations, two filled batches, an
// evicted one, a final range.
func grow(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	l, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	evicted := gap(70, 70)
	evicted.Reason = diode.ReasonFarFull
	for _, step := range []func() error{
		func() error { return l.Declare(gap(4711, 4723), at(100)) },
		l.Sync,
		func() error {
			return l.Declare(diode.Gap{Epoch: epoch(1), First: 5000, Reason: diode.ReasonEpochEnd, DeclaredAt: clock(1)}, at(101))
		},
		l.Sync,
		func() error { _, err := l.Fill(filled(4712, 12, ledger.Resend), at(102)); return err },
		func() error { _, err := l.Fill(filled(4713, 7, ledger.Repeat), at(103)); return err },
		l.Sync,
		func() error { return l.Evict(evicted, at(70)) },
		func() error {
			_, err := l.Finish(ledger.Final{Epoch: epoch(1), Below: 4715, Why: ledger.WhyNotRetained, At: clock(8)})
			return err
		},
		func() error { return l.Advance(at(200)) },
		l.Close,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames are the offsets of the frames of a log, and its end.
func frames(log []byte) []int {
	offs := []int{12}
	for off := 12; off < len(log); {
		off += 18 + int(binary.BigEndian.Uint32(log[off+2:]))
		offs = append(offs, off)
	}
	return offs
}

// openBytes opens a directory whose log is b.
func openBytes(t testing.TB, b []byte) (*ledger.Ledger, string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, logName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(dir, ledger.Options{})
	return l, dir, err
}

func addsUp(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	for _, r := range l.Totals() {
		var sum ledger.Amount
		for _, a := range []ledger.Amount{r.Repeat, r.Resend, r.Final, r.Open} {
			sum.Batches += a.Batches
			sum.Weight += a.Weight
			sum.Unweighed += a.Unweighed
		}
		if sum != r.Declared || r.DeclaredTails != r.FinalTails+r.OpenTails {
			t.Fatalf("does not add up: %+v", r)
		}
	}
}

// worthwhile picks the bytes of headers and some of events: each costs several
// syncs.
func worthwhile(i int, offs []int) bool {
	return i%7 == 0 || slices.ContainsFunc(offs, func(off int) bool { return i >= off-12 && i <= off+18 })
}

// TestTornEnd cuts a log at many bytes: what is left is what stood in its whole
// frames, and it goes on from there.
func TestTornEnd(t *testing.T) {
	log := grow(t)
	var states []string
	offs := frames(log)
	for _, off := range offs {
		l, _, err := openBytes(t, log[:off])
		must(t, err)
		states = append(states, text(l))
	}
	for n := 12; n <= len(log); n++ {
		if !worthwhile(n, offs) {
			continue
		}
		whole := 0
		for whole+1 < len(offs) && offs[whole+1] <= n {
			whole++
		}
		l, dir, err := openBytes(t, log[:n])
		must(t, err)
		if got := text(l); got != states[whole] || l.State().Damaged {
			t.Fatalf("%d bytes: %s", n, got)
		}
		one := gap(9000, 9000)
		one.Epoch = epoch(2) // in no tail
		must(t, l.Declare(one, ledger.Mark{}))
		want := text(l)
		after, err := os.ReadFile(filepath.Join(dir, logName))
		must(t, err)
		if end := offs[whole] + 18 + int(binary.BigEndian.Uint32(after[offs[whole]+2:])); len(after) != end {
			t.Fatalf("%d bytes: the log has %d, expected %d: what was torn still stands behind it", n, len(after), end)
		}
		l = reopen(t, dir, l, ledger.Options{})
		if got := text(l); got != want {
			t.Fatalf("%d bytes, then one more: %s", n, got)
		}
	}
}

// TestFlippedBytes changes a byte of a log: it opens, adds up, says that it
// was damaged when that was not its end, and keeps the damaged log.
func TestFlippedBytes(t *testing.T) {
	log := grow(t)
	offs := frames(log)
	for i := range log {
		if !worthwhile(i, offs) {
			continue
		}
		b := bytes.Clone(log)
		b[i] ^= 0x40
		l, dir, err := openBytes(t, b)
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		addsUp(t, l)
		damaged := i < offs[len(offs)-2]
		kept, err := os.ReadFile(filepath.Join(dir, logName+".damaged"))
		if l.State().Damaged != damaged || (err == nil) != damaged || (damaged && !bytes.Equal(kept, b)) {
			t.Fatalf("byte %d: damaged %t, %v", i, l.State().Damaged, err)
		}
		want := text(l)
		l = reopen(t, dir, l, ledger.Options{})
		if text(l) != want || l.State().Damaged != damaged {
			t.Fatalf("byte %d: another state after the next start", i)
		}
		addsUp(t, l)
		must(t, l.Close())
	}
}

func TestDamageCostsOnlyWhatItHits(t *testing.T) {
	log := grow(t)
	b := bytes.Clone(log)
	b[frames(log)[1]+20] ^= 1 // the second declaration, the tail
	l, _, err := openBytes(t, b)
	must(t, err)
	expect(t, l, "4711-4723/130 open 4715-4723 open=9/111?0 repeat=1/7?0 resend=1/12?0 not-retained=2/0?0; 70-70/10 not-retained=1/10?0")
}

func TestAnotherVersion(t *testing.T) {
	b := append([]byte("SDGL\x02\x00\x00\x00"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[:8], crc32.MakeTable(crc32.Castagnoli)))
	if _, _, err := openBytes(t, b); !errors.Is(err, ledger.ErrVersion) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("%v", err)
	}
}

// TestLeftovers finds what an interrupted compaction left.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, logName+".new"), []byte("half"), 0o600))
	l := open(t, dir, ledger.Options{})
	must(t, l.Close())
	if _, err := os.Stat(filepath.Join(dir, logName+".new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	st, err := os.Stat(filepath.Join(dir, logName))
	must(t, err)
	if st.Mode() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	must(t, os.Remove(filepath.Join(dir, logName)))
	must(t, os.Mkdir(filepath.Join(dir, logName), 0o700))
	if _, err := ledger.Open(dir, ledger.Options{}); err == nil {
		t.Error("a directory was taken for a log")
	}
}

// vectors are logs and what they say.
func vectors(t testing.TB) map[string][]byte {
	t.Helper()
	log := grow(t)
	offs := frames(log)
	torn := log[:len(log)-3]
	damaged := bytes.Clone(log)
	damaged[offs[2]+30] ^= 1
	dir := t.TempDir()
	l, err := ledger.Open(dir, ledger.Options{})
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	empty, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"empty": empty, "events": log, "torn": torn, "damaged": damaged, "compacted": compacted(t, damaged)}
}

// compacted is the log that a damaged one is replaced by.
func compacted(t testing.TB, damaged []byte) []byte {
	t.Helper()
	l, dir, err := openBytes(t, damaged)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors reads each log of testdata with nothing known but what stands in
// its file.
func TestVectors(t *testing.T) {
	for name, b := range vectors(t) {
		path := filepath.Join("testdata", name+".vector")
		if *update {
			l, _, err := openBytes(t, b)
			must(t, err)
			must(t, os.WriteFile(path, fmt.Appendf(nil, "list: %s\nmarks: %s\ndamaged: %t\nlog: %x\n", text(l), markText(l), l.State().Damaged, b), 0o600))
		}
		content, err := os.ReadFile(path)
		must(t, err)
		v := map[string]string{}
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			v[key] = value
		}
		stored, err := hex.DecodeString(v["log"])
		must(t, err)
		if name != "compacted" && !bytes.Equal(stored, b) { // which writes maps in any order
			t.Errorf("%s: a ledger writes\n%x\nexpected\n%s", name, b, v["log"])
		}
		l, _, err := openBytes(t, stored)
		must(t, err)
		if text(l) != v["list"] || markText(l) != v["marks"] || fmt.Sprint(l.State().Damaged) != v["damaged"] {
			t.Errorf("%s: %s, marks %s, damaged %t", name, text(l), markText(l), l.State().Damaged)
		}
	}
}

func markText(l *ledger.Ledger) string {
	var s []string
	for _, m := range l.Marks() {
		s = append(s, fmt.Sprintf("%d/%x/%d", m.Class, m.Spool[:1], m.Seq))
	}
	return strings.Join(s, " ")
}
