package recv_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
)

// burstLink gives several datagrams with one call, as a packet ring does.
type burstLink struct{ *linktest.Link }

func (l burstLink) ReadBurst(dst []byte, add func(off, n int)) error {
	for off := 0; off < 100_000; off += 10_000 {
		n, err := l.Read(dst[off : off+10_000])
		if err != nil {
			return err
		}
		add(off, n)
		if l.Waiting() == 0 {
			return nil
		}
	}
	return nil
}

func (l burstLink) Drops() uint64 { return 4711 }

func TestBurstsAndDropsOfARing(t *testing.T) {
	dir := t.TempDir()
	inBubble(t, func(x *far, n *near) {
		after(time.Millisecond)
		x.stop()
		x.rx, x.stop = run(x.t, config(x.link, x.sink, dir))
		x.stop()
		c := config(x.link, x.sink, dir)
		c.Paths[0].Conn = burstLink{x.link}
		x.rx, x.stop = run(x.t, c)
		n.announce()
		n.beat()
		for seq := uint64(1); seq <= 4; seq++ {
			n.send(batch(seq))
		}
		after(50 * time.Millisecond)
		x.expect("1, 2, 3, 4")
		if st := x.rx.Stats(); st.KernelDrops != 4711 || st.Paths[0].ReceiveBuffer != 0 {
			t.Errorf("%+v", st.Paths)
		}
	})
}

// fullError is the error of a sink that names its reason.
type fullError struct{}

func (fullError) Error() string     { return "no room" }
func (fullError) GapReason() string { return diode.ReasonFarFull }

func TestSinkNamesTheReason(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		x.sink.Refuse(func(b diode.Batch) error {
			if b.Seq == 2 {
				return errors.Join(errors.New("far"), fullError{})
			}
			return nil
		})
		n.send(batch(1), batch(2), batch(3))
		after(100 * time.Millisecond)
		x.expect("1, gap 2-2 weight 10 far-spool-full, 3")
		if g := x.sink.Events()[1].Gap; g.SumAfter != 20 {
			t.Errorf("%+v", g)
		}
	})
}
