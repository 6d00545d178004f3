package gateway

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

func tooLarge(number uint64, record uint32) sdk.Rejection {
	return sdk.Rejection{Number: number, Record: record, Err: &sdk.Error{Code: sdk.CodeTooLarge, Detail: "too large"}}
}

// deliverOne gives the rig one batch of these payloads and takes it from there.
func (rig *feedRig) deliverOne(t *testing.T, payloads ...string) sdk.Delivery {
	t.Helper()
	appendBatch(t, rig.origin, testBatch(t, "udp.a", sdk.StreamID{7}, payloads...), uint32(len(payloads)))
	d, err := rig.Next(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (rig *feedRig) letterLines(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(rig.letters.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestARecordIsRejectedOnceAndCountsAsNotDelivered(t *testing.T) {
	rig := startFeed(t, testOrigin(t, t.TempDir(), localOrigin, spool.Options{}), "udp.a")
	d := rig.deliverOne(t, "zero", "one", "two")
	both := []sdk.Rejection{tooLarge(d.Number, 2), tooLarge(d.Number, 0), tooLarge(d.Number, 2)}
	for _, through := range []uint64{0, d.Number} { // before the acknowledgement, and with it again
		if err := rig.Ack(soon(t), through, both...); err != nil {
			t.Fatal(err)
		}
	}
	lines := rig.letterLines(t)
	if len(lines) != 2 || !strings.Contains(lines[0], `"payload":"zero"`) || !strings.Contains(lines[1], `"payload":"two"`) {
		t.Errorf("dead letters %q", lines)
	}
	if got := rig.counts.records.Load(); got != 1 {
		t.Errorf("%d records delivered, want 1", got)
	}
	if got := rig.counts.dropped.snapshot()["rejected: too-large"].Records; got != 2 {
		t.Errorf("%d records rejected, want 2", got)
	}
}

func TestARejectionOfARecordThatIsNotThereIsRefused(t *testing.T) {
	rig := startFeed(t, testOrigin(t, t.TempDir(), localOrigin, spool.Options{}), "udp.a")
	d := rig.deliverOne(t, "zero")
	if err := rig.Ack(soon(t), d.Number, tooLarge(d.Number, 1)); err == nil || !strings.Contains(err.Error(), "which has 1") {
		t.Errorf("%v", err)
	}
	if lines := rig.letterLines(t); lines[0] != "" {
		t.Errorf("dead letters %q", lines)
	}
}

func TestARejectionWithoutAReasonHasOneInTheLog(t *testing.T) {
	rig := startFeed(t, testOrigin(t, t.TempDir(), localOrigin, spool.Options{}), "udp.a")
	d := rig.deliverOne(t, "zero")
	if err := rig.Ack(soon(t), d.Number, sdk.Rejection{Number: d.Number}); err != nil {
		t.Fatal(err)
	}
	if lines := rig.letterLines(t); !strings.Contains(lines[0], "no reason given") {
		t.Errorf("dead letters %q", lines)
	}
}

// A full disk is a state: the cursor stays, the sink is not torn down, and it goes on by itself.
func TestRejectedRecordsWaitForTheDeadLetterLog(t *testing.T) {
	rig := startFeed(t, testOrigin(t, t.TempDir(), localOrigin, spool.Options{}), "udp.a")
	broken := errors.New("no space left on device")
	tries := 0
	write := rig.reject
	rig.reject = func(batch []byte, rs []sdk.Rejection) error {
		if tries++; tries == 1 {
			return broken
		}
		return write(batch, rs)
	}
	d := rig.deliverOne(t, "zero")
	if err := rig.Ack(soon(t), d.Number, tooLarge(d.Number, 0)); err != nil {
		t.Fatal(err)
	}
	if first, second := <-rig.stucks, <-rig.stucks; !errors.Is(first, broken) || second != nil {
		t.Errorf("told %v and %v", first, second)
	}
	if lines := rig.letterLines(t); len(lines) != 1 || rig.tracks[0].cursor.Acked() != 1 {
		t.Errorf("%d dead letters, cursor at %d", len(lines), rig.tracks[0].cursor.Acked())
	}
}

// When the node stops, what waits to be sent is not handed out any more, however much of it there is.
func TestNothingIsDeliveredOnceTheNodeStops(t *testing.T) {
	for range 32 { // select chooses by chance
		f := newFeed(nil, nil, &sinkCounts{})
		quit := make(chan struct{})
		close(quit)
		f.quit = quit
		f.lanes[sdk.ClassBulk].offer = make(chan *parcel, 1)
		f.lanes[sdk.ClassBulk].offer <- &parcel{}
		if _, err := f.Next(soon(t)); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want io.EOF", err)
		}
	}
}

// The buffers of acknowledged deliveries are used again, and never while somebody may read them.
func TestDeliveriesKeepTheirBytesUntilTheyAreAcknowledged(t *testing.T) {
	o := testOrigin(t, t.TempDir(), localOrigin, spool.Options{})
	var want []string
	for i := range 400 {
		want = append(want, string(testBatch(t, "udp.a", sdk.StreamID{1}, strings.Repeat(fmt.Sprint(i, " "), 50+i%7))))
		appendBatch(t, o, []byte(want[i]), 1)
	}
	rig := startFeed(t, o, "udp.a")
	var open []sdk.Delivery
	for i := range want {
		d, err := rig.Next(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, d)
		if i%5 != 4 {
			continue
		}
		for j, d := range open {
			if string(d.Data) != want[i-4+j] {
				t.Fatalf("delivery %d changed before it was acknowledged", d.Number)
			}
		}
		if err := rig.Ack(soon(t), d.Number); err != nil {
			t.Fatal(err)
		}
		open = open[:0]
	}
}

func TestADeadLetterLogWhoseWriteFailedIsAsBefore(t *testing.T) {
	dir := t.TempDir()
	d := &deadLetters{path: filepath.Join(dir, "dead", "a.ndjson")}
	batch := testBatch(t, "udp.a", sdk.StreamID{1}, "zero", "one")
	if err := d.write(batch, []sdk.Rejection{tooLarge(1, 0)}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(d.path)
	_ = d.file.Close() // the next write fails
	if err := d.write(batch, []sdk.Rejection{tooLarge(1, 1)}); err == nil {
		t.Fatal("written to a closed file")
	}
	if after, _ := os.ReadFile(d.path); string(after) != string(before) {
		t.Fatalf("%q, want %q", after, before)
	}
	if err := d.write(batch, []sdk.Rejection{tooLarge(1, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(d.path); strings.Count(string(after), "\n") != 2 {
		t.Fatalf("%q", after)
	}
}

func TestALineThatACrashCutIsEndedBeforeTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndjson")
	if err := os.WriteFile(path, []byte("{\"at\":\"2026"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &deadLetters{path: path}
	if err := d.write(testBatch(t, "udp.a", sdk.StreamID{1}, "zero"), []sdk.Rejection{tooLarge(1, 0)}); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(path)
	if lines := strings.Split(string(b), "\n"); len(lines) != 3 || !strings.Contains(lines[1], `"payload":"zero"`) {
		t.Fatalf("%q", lines)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestABatchThatCannotBeReadIsKeptWholeOnce(t *testing.T) {
	d := &deadLetters{path: filepath.Join(t.TempDir(), "a.ndjson")}
	batch := testBatch(t, "udp.a", sdk.StreamID{1}, "zero", "one", "two")
	if err := d.write(batch[:len(batch)-1], []sdk.Rejection{tooLarge(1, 0), tooLarge(1, 1), tooLarge(1, 2)}); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(d.path)
	if n := strings.Count(string(b), "batch kept whole"); n != 1 {
		t.Fatalf("kept whole %d times: %s", n, b)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReasonsOfOthersAreBounded(t *testing.T) {
	var d dropCounts
	for i := range 1000 {
		d.add(fmt.Sprint(i, strings.Repeat("é", i)), 1, 0)
	}
	got := d.snapshot()
	if len(got) != maxReasons+1 {
		t.Errorf("%d reasons", len(got))
	}
	var sum uint64
	for reason, c := range got {
		if len(reason) > maxReason {
			t.Errorf("reason of %d bytes", len(reason))
		}
		sum += c.Batches
	}
	if sum != 1000 {
		t.Errorf("%d counted of 1000", sum)
	}
}
