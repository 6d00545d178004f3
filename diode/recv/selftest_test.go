package recv_test

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/recv"
)

func (n *near) test(f frame.Test) {
	f.Run, f.Steps = 7, 3
	n.link.Inject(n.seal(frame.Header{Kind: frame.KindTest, Start: frame.NoStart}, f.Append(nil, 100)))
}

func TestSelfTestReport(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		if _, ok := x.rx.TestReport("test"); ok {
			t.Error("a report without a test")
		}
		lost := [3]func(uint32) bool{
			func(uint32) bool { return false },
			func(i uint32) bool { return i%200 == 0 || (i >= 500 && i < 530) },
			func(i uint32) bool { return i%2 == 0 },
		}
		const count = 1000
		for step := range uint32(3) {
			for i := range uint32(count) {
				f := frame.Test{Rate: uint64(step+1) * 1e6, Step: step, Number: i ^ 1, Count: count, Sent: time.Now().Add(time.Hour)}
				if lost[step](f.Number) {
					continue
				}
				n.test(f)
				if i%10 == 0 {
					after(time.Millisecond)
				}
			}
		}
		after(3 * time.Second)
		got, ok := x.rx.TestReport("test")
		if !ok || !got.Done || len(got.Steps) != 3 || got.Rate != 2e6 || got.Interleave != 1 || got.DesignLoss < 0.06 {
			t.Fatalf("%+v", got)
		}
		want := recv.TestStep{Rate: 2e6, Count: count, Received: 965, Lost: 35, Runs: 6, LongestRun: 30, Over: true}
		s := got.Steps[1]
		s.Reordered, s.P50, s.P99, s.Max = 0, 0, 0, 0
		if s != want {
			t.Errorf("got  %+v\nwant %+v", s, want)
		}
		if s := got.Steps[0]; s.Lost != 0 || s.Reordered != count/2 || s.P99 > time.Millisecond {
			t.Errorf("%+v", s)
		}
		if s := got.Steps[2]; s.Lost != count/2 || s.LongestRun != 1 {
			t.Errorf("%+v", s)
		}
	})
}
