package gateway

import (
	"errors"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/send"
)

// fakeResender is a session that sends nothing until it is told.
type fakeResender struct {
	asked []diode.Range
	left  uint64
	err   error
}

func (f *fakeResender) Resend(_ diode.Class, ranges []diode.Range) (send.ResendState, error) {
	if f.err != nil {
		return send.ResendState{}, f.err
	}
	f.asked = append(f.asked, ranges...)
	for _, r := range ranges {
		f.left += r.Last - r.First + 1
	}
	return send.ResendState{}, nil
}

func (f *fakeResender) Stats() send.Stats {
	return send.Stats{Resend: send.ResendState{Queued: f.left}}
}

type keeps [2]uint64

func (k keeps) Bounds() (first, next, sum uint64) { return k[0], k[1], 0 }

// A socket that is closed under a link must not make it forget what an operator asked for.
func TestAResendOutlivesTheSessionThatItWasAskedOf(t *testing.T) {
	var u unsent
	logs := map[diode.Class]bounded{diode.Bulk: keeps{3, 100}}
	first := &fakeResender{}
	for _, r := range [][]diode.Range{{{First: 1, Last: 4}}, {{First: 8, Last: 9}, {First: 5, Last: 6}}} {
		if err := u.queue(first, diode.Bulk, r); err != nil {
			t.Fatal(err)
		}
	}
	u.ended(first) // with all of it queued

	second := &fakeResender{}
	u.again(second, logs, quiet())
	if want := []diode.Range{{First: 3, Last: 6}, {First: 8, Last: 9}}; !slices.Equal(second.asked, want) {
		t.Errorf("asked %v, want %v", second.asked, want)
	}
	second.left = 0
	u.ended(second) // with all of it sent

	third := &fakeResender{}
	if u.again(third, logs, quiet()); len(third.asked) != 0 {
		t.Errorf("asked %v again", third.asked)
	}
	third.err = errors.New("refused")
	if err := u.queue(third, diode.Bulk, []diode.Range{{First: 5, Last: 5}}); err == nil {
		t.Error("a refusal is not told")
	}
	fourth := &fakeResender{}
	if u.again(fourth, logs, quiet()); len(fourth.asked) != 0 {
		t.Errorf("what was refused is asked again: %v", fourth.asked)
	}
}
