package gateway

import (
	"errors"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/ledger"
)

// kept is what decides on what will not come any more.
type kept struct {
	epoch, prev  [16]byte
	start, first uint64
}

// hear notes what the near side has. It is called by the receiver, for which it must not wait.
func (b *books) hear(_ string, hb frame.Heartbeat) {
	b.heardMu.Lock()
	defer b.heardMu.Unlock()
	b.heard = append(b.heard[:0], hb.Series...)
}

// retire makes final what the near side does not have any more. Sequences go on over a change of epoch: what is below
// the first that it keeps is gone, whatever epoch it was of. When that is not before the beginning of its epoch, nothing
// of any other epoch is left.
func (b *books) retire() error {
	b.heardMu.Lock()
	heard := slices.Clone(b.heard)
	b.heardMu.Unlock()
	var errs []error
	for i := range heard {
		s := &heard[i]
		now := kept{s.Epoch.ID, s.Epoch.Prev, s.Epoch.Start, s.First}
		if int(s.Class) >= len(classes()) || s.First == 0 || s.Epoch.Start == 0 || !b.changed(s.Class, now) {
			continue
		}
		errs = append(errs, b.finish(s.Class, now))
	}
	return errors.Join(errs...)
}

// changed says whether there can be anything to make final since the last time.
func (b *books) changed(c diode.Class, now kept) bool {
	open := b.ledger.State().OpenRanges
	b.mu.Lock()
	defer b.mu.Unlock()
	if open == 0 || int(c) >= len(b.classes) {
		return false
	}
	x := &b.classes[c]
	if x.retired == now && x.open == open {
		return false
	}
	x.retired, x.open = now, open
	return true
}

func (b *books) finish(c diode.Class, s kept) error {
	at := time.Now()
	finals := []ledger.Final{{Epoch: s.epoch, Class: c, Below: s.first}}
	if s.first < s.start {
		finals = append(finals, ledger.Final{Epoch: s.prev, Class: c, Below: s.first})
	} else {
		for _, epoch := range b.otherEpochs(c, s.epoch) {
			finals = append(finals, ledger.Final{Epoch: epoch, Class: c, Below: ledger.All})
		}
	}
	for _, f := range finals {
		f.Why, f.At = ledger.WhyNotRetained, at
		gone, err := b.ledger.Finish(f)
		if err != nil {
			return err
		}
		if gone.Batches > 0 {
			b.log.Warn("what was missing is not kept by the near side any more", "class", className(classes()[c]), "batches", gone.Batches, "records", gone.Weight)
		}
	}
	return nil
}

// otherEpochs are those of a class in which something is open, but for one.
func (b *books) otherEpochs(c diode.Class, but [16]byte) [][16]byte {
	var out [][16]byte
	for _, g := range b.ledger.Missing() {
		if g.Class == c && g.Epoch != but && !slices.Contains(out, g.Epoch) {
			out = append(out, g.Epoch)
		}
	}
	return out
}
