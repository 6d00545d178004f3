package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// feedRig is a feed over one origin, running.
type feedRig struct {
	*feed
	origin  *origin
	letters *deadLetters
	counts  sinkCounts
	quit    chan struct{}
	holds   []string
	stucks  chan error
}

func startFeed(t *testing.T, o *origin, takes ...string) *feedRig {
	t.Helper()
	cursors, err := o.cursors("sink.test")
	if err != nil {
		t.Fatal(err)
	}
	rig := &feedRig{origin: o, quit: make(chan struct{}), stucks: make(chan error, 16), letters: &deadLetters{path: filepath.Join(t.TempDir(), "dead", "test.ndjson")}}
	set := map[string]bool{}
	for _, r := range takes {
		set[r] = true
	}
	rig.feed = newFeed(cursors, set, &rig.counts)
	rig.feed.quit, rig.reject, rig.buffers = rig.quit, rig.letters.write, &sync.Pool{}
	rig.stuck = func(err error) { rig.stucks <- err }
	rig.hold = func(reason string) { rig.holds = append(rig.holds, reason) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rig.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("feed: %v", err)
		}
		_ = rig.letters.Close()
	})
	return rig
}

func appendBatch(t *testing.T, o *origin, batch []byte, records uint32) uint64 {
	t.Helper()
	seq, err := o.logs[0].Append(soon(t), records, localEnvelope(time.Now()), batch)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func TestFeedPassesOnlyItsReceiversAndMovesTheCursorOverTheOthers(t *testing.T) {
	o := testOrigin(t, t.TempDir(), localOrigin, spool.Options{})
	mine, other := testBatch(t, "udp.a", sdk.StreamID{1}, "x"), testBatch(t, "udp.b", sdk.StreamID{2}, "y")
	appendBatch(t, o, other, 1)
	appendBatch(t, o, mine, 1)
	appendBatch(t, o, other, 1)
	last := appendBatch(t, o, mine, 1)
	rig := startFeed(t, o, "udp.a")
	for n := uint64(1); n <= 2; n++ {
		d, err := rig.Next(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if d.Number != n || string(d.Data) != string(mine) {
			t.Fatalf("delivery %d is not batch %d of udp.a", d.Number, n)
		}
	}
	if got := rig.tracks[0].cursor.Acked(); got != 1 {
		t.Fatalf("cursor at %d before an acknowledgement, want 1: only what lies before the first delivery is passed", got)
	}
	if err := rig.Ack(soon(t), 2); err != nil {
		t.Fatal(err)
	}
	if got := rig.tracks[0].cursor.Acked(); got != last {
		t.Fatalf("cursor at %d, want %d", got, last)
	}
	if got := rig.counts.records.Load(); got != 2 {
		t.Fatalf("%d records counted, want 2", got)
	}
}

func TestUnacknowledgedDeliveriesComeAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	o := testOrigin(t, dir, localOrigin, spool.Options{})
	for _, p := range []string{"one", "two", "three"} {
		appendBatch(t, o, testBatch(t, "udp.a", sdk.StreamID{1}, p), 1)
	}
	t.Run("first start", func(t *testing.T) {
		rig := startFeed(t, o, "udp.a")
		for range 3 {
			if _, err := rig.Next(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := rig.Ack(soon(t), 1); err != nil {
			t.Fatal(err)
		}
	})
	rig := startFeed(t, o, "udp.a")
	d, err := rig.Next(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if d.Number != 1 || !strings.Contains(string(d.Data), "two") {
		t.Fatalf("delivery %d holds %q, want the second batch again", d.Number, d.Data)
	}
}

func TestFeedEndsWhenNothingMoreShallBeDelivered(t *testing.T) {
	rig := startFeed(t, testOrigin(t, t.TempDir(), localOrigin, spool.Options{}), "udp.a")
	close(rig.quit)
	if _, err := rig.Next(soon(t)); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want io.EOF", err)
	}
}

func TestRejectedRecordGoesToTheDeadLetterLogWithItsReason(t *testing.T) {
	o := testOrigin(t, t.TempDir(), localOrigin, spool.Options{})
	appendBatch(t, o, testBatch(t, "udp.a", sdk.StreamID{7}, "good", "bad", "good too"), 3)
	rig := startFeed(t, o, "udp.a")
	d, err := rig.Next(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	reason := &sdk.Error{Code: sdk.CodeTooLarge, Detail: "70000 bytes do not fit a datagram"}
	if err := rig.Ack(soon(t), d.Number, sdk.Rejection{Number: d.Number, Record: 1, Err: reason}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(rig.letters.path)
	if err != nil {
		t.Fatal(err)
	}
	id := sdk.RecordID{Stream: sdk.StreamID{7}, Sequence: 2}
	for _, want := range []string{`"payload":"bad"`, `"reason":"too-large"`, reason.Detail, id.String(), `"receiver":"udp.a"`, `"remote":"192.0.2.1:9"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("dead letter lacks %s: %s", want, b)
		}
	}
	if strings.Contains(string(b), "good") {
		t.Errorf("dead letter holds a record that was not rejected: %s", b)
	}
}

func TestAcknowledgementsOfAFaultySinkAreRefused(t *testing.T) {
	o := testOrigin(t, t.TempDir(), localOrigin, spool.Options{})
	appendBatch(t, o, testBatch(t, "udp.a", sdk.StreamID{1}, "x"), 1)
	rig := startFeed(t, o, "udp.a")
	if _, err := rig.Next(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := rig.Ack(soon(t), 2); err == nil {
		t.Error("acknowledgement of a delivery that was never made is taken")
	}
	if err := rig.Ack(soon(t), 1, sdk.Rejection{Number: 9, Err: &sdk.Error{Code: sdk.CodeConfig}}); err == nil {
		t.Error("rejection of a delivery that was never made is taken")
	}
	if got := rig.tracks[0].cursor.Acked(); got != 0 {
		t.Errorf("cursor moved to %d", got)
	}
}

func TestFeedPassesGapsAndMarksLateBatches(t *testing.T) {
	o := testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{})
	f := newFar(o, nil, make([]totals, 1), &linkCounts{}, quiet())
	epoch := [16]byte{5}
	if err := f.Gap(soon(t), diode.Gap{Epoch: epoch, First: 1, Last: 2, Weight: 9, WeightKnown: true, Reason: diode.ReasonLink}); err != nil {
		t.Fatal(err)
	}
	deliver(t, f, diode.Batch{BatchID: diode.BatchID{Epoch: epoch, Seq: 3}, Weight: 1, SumBefore: 9, Data: testBatch(t, "udp.a", sdk.StreamID{1}, "x")})
	deliver(t, f, diode.Batch{BatchID: diode.BatchID{Epoch: epoch, Seq: 2}, Weight: 1, SumBefore: 8, Late: true, Data: testBatch(t, "udp.a", sdk.StreamID{1}, "y")})
	rig := startFeed(t, o, "udp.a")
	for _, late := range []bool{false, true} {
		d, err := rig.Next(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if d.Late != late {
			t.Fatalf("delivery %d late = %v, want %v", d.Number, d.Late, late)
		}
	}
}

// testEntry appends a batch of one class.
func testEntry(t *testing.T, o *origin, c sdk.Class, batch []byte) {
	t.Helper()
	if _, err := o.log(c).Append(soon(t), 1, localEnvelope(time.Now()), batch); err != nil {
		t.Fatal(err)
	}
}

// What is critical does not wait for a sink to acknowledge a backlog of the rest.
func TestTheCriticalClassPassesABacklog(t *testing.T) {
	o := testOrigin(t, t.TempDir(), localOrigin, spool.Options{})
	text := make([]byte, 512<<10)
	_, _ = rand.Read(text) // never fails
	bulk := testBatch(t, "udp.a", sdk.StreamID{1}, string(text))
	for range sinkCredit/len(bulk) + 2 {
		testEntry(t, o, sdk.ClassBulk, bulk)
	}
	rig := startFeed(t, o, "udp.a")
	for range sinkCredit / len(bulk) {
		if _, err := rig.Next(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	testEntry(t, o, sdk.ClassCritical, testBatch(t, "udp.a", sdk.StreamID{2}, "fire"))
	d, err := rig.Next(soon(t))
	if err != nil || d.Class != sdk.ClassCritical {
		t.Fatalf("class %d, %v", d.Class, err)
	}
	if err := rig.Ack(soon(t), d.Number); err != nil {
		t.Fatal(err)
	}
	if got := rig.tracks[1].cursor.Acked(); got != 1 {
		t.Errorf("critical cursor at %d", got)
	}
}

func TestNeitherClassStarvesTheOther(t *testing.T) {
	f := newFeed(nil, nil, &sinkCounts{})
	const each = 3 * criticalTurns
	for _, c := range classes() {
		f.lanes[c].offer = make(chan *parcel, each)
		for range each {
			f.lanes[c].offer <- &parcel{track: &track{class: c}, delivery: sdk.Delivery{Class: c}}
		}
	}
	var got []sdk.Class
	for range each + 3 {
		d, err := f.Next(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Class)
	}
	turn := append(slices.Repeat([]sdk.Class{sdk.ClassCritical}, criticalTurns), sdk.ClassBulk)
	if !slices.Equal(got, slices.Repeat(turn, 3)) {
		t.Errorf("turns %v", got)
	}
}
