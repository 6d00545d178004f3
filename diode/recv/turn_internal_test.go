package recv

import (
	"testing"
	"testing/synctest"
	"time"
)

// A receiver whose process stood still must not count that time against the sender: frames waited in the socket.
func TestTimeInWhichWeStoodStillDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Receiver{}
		r.turn()
		began := r.live
		time.Sleep(10 * time.Second)
		r.turn()
		if got := r.live.Sub(began); got != liveStep {
			t.Errorf("one late turn moved the live clock by %v, want %v", got, liveStep)
		}
		time.Sleep(tick)
		r.turn()
		if got := r.live.Sub(began); got != liveStep+tick {
			t.Errorf("live clock at %v, want %v", got, liveStep+tick)
		}
		if got := time.Since(r.now); got != 0 {
			t.Errorf("the wall's clock is %v late", got)
		}
	})
}
