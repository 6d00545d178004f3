package recv_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
)

// A spare receiver hears of an epoch only as the one before, and where it
// ended: what was sent until then may be of older ones, and is when such
// batches come.
func TestAnEpochThatOnlyAHeartbeatNamed(t *testing.T) {
	current := diode.Epoch{ID: epoch(4), Prev: epoch(3), Start: 6, StartSum: 50}
	for _, test := range []struct {
		name  string
		bound frame.Series
		send  []diode.Batch
		want  string
	}{
		{
			"nothing of it came",
			frame.Series{First: 1, Sent: 2, SentSum: 20, Accepted: 6, AcceptedSum: 60},
			[]diode.Batch{of(4, 6)},
			"gap 1-2 weight 20 before-first-contact, gap 3-5 weight unknown before-first-contact, gap 6-0 weight unknown epoch-end, 6",
		},
		{
			"an older one, and nothing of it",
			frame.Series{First: 1, Accepted: 6, AcceptedSum: 60},
			[]diode.Batch{of(2, 4), of(2, 5), of(4, 6)},
			"gap 1-3 weight 30 before-first-contact, 4, 5, gap 6-0 weight unknown epoch-end, gap 6-0 weight unknown epoch-end, 6",
		},
		{
			"an older one, and then it",
			frame.Series{First: 1, Accepted: 6, AcceptedSum: 60},
			[]diode.Batch{of(2, 1), of(2, 2), of(3, 3), of(3, 5), of(4, 6)},
			"1, 2, gap 3-0 weight unknown epoch-end, 3, gap 4-4 weight 10 link, 5, gap 6-0 weight unknown epoch-end, 6",
		},
		{
			"an older one, and then it behind a hole",
			frame.Series{First: 1, Accepted: 6, AcceptedSum: 60},
			[]diode.Batch{of(2, 1), of(2, 2), of(3, 4), of(3, 5), of(4, 6)},
			"1, 2, gap 3-0 weight unknown epoch-end, gap 3-3 weight unknown before-first-contact, 4, 5, gap 6-0 weight unknown epoch-end, 6",
		},
		{
			"it, and then an older one",
			frame.Series{First: 1, Accepted: 6, AcceptedSum: 60},
			[]diode.Batch{of(3, 3), of(2, 2), of(4, 6)},
			"gap 1-2 weight 20 before-first-contact, 3, gap 1-1 weight unknown before-first-contact, gap 2-2 weight 10 epoch-end, gap 3-0 weight unknown epoch-end, late 2, " +
				"gap 4-5 weight 20 epoch-end, gap 6-0 weight unknown epoch-end, 6",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				x := &far{t: t, link: linktest.New(1, linktest.Faults{}), sink: linktest.NewSink()}
				x.rx, x.stop = run(t, config(x.link, x.sink, dir))
				defer x.stop()
				n := newNear(t, x.link, pairing(1, 1), 100, current)
				n.announce()
				n.beat(test.bound)
				after(1100 * time.Millisecond)
				for _, b := range test.send {
					n.send(b)
				}
				after(time.Millisecond)
				x.expect(test.want)
			})
		})
	}
}

// Late batches of another machine say nothing of where an epoch starts: numbers
// of two spools are not of one row.
func TestABatchOfAnotherSessionMovesNoStart(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1), batch(2))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, diode.Epoch{ID: epoch(3), Prev: epoch(2), Start: 6, StartSum: 50})
		m.announce()
		m.beat(frame.Series{First: 1, Accepted: 6, AcceptedSum: 60})
		n.send(batch(3)) // overtaken by the new session
		after(time.Second)
		m.send(of(2, 5), of(3, 6))
		after(time.Millisecond)
		x.expect("1, 2, 3, gap 4-0 weight unknown epoch-end, gap 1-4 weight unknown before-first-contact, 5, gap 6-0 weight unknown epoch-end, 6")
	})
}

// What comes of an epoch that is over, behind all that was known of it, is named
// before it fills its place: after a restart it is no news.
func TestWhatCameBehindTheEndIsKnownAfterARestart(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		after(200 * time.Millisecond)
		m := newNear(t, x.link, n.key, 101, first(2))
		m.announce()
		m.beat()
		m.send(batch(1))
		n.send(batch(4)) // overtaken by the new session
		after(time.Millisecond)
		want := "1, gap 2-0 weight unknown epoch-end, 1, gap 2-4 weight 30 epoch-end, late 4"
		x.expect(want)
		x.stop()
		c := config(x.link, x.sink, dir)
		c.Positions, c.Open = x.sink.Positions(), x.sink.Open()
		x.rx, x.stop = run(x.t, c)
		m.announce()
		m.beat()
		m.send(of(1, 4), of(1, 1), of(1, 3), of(1, 3))
		m.alive(time.Second)
		x.expect(want + ", late 3")
	})
}
