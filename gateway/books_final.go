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
		declared := b.declarations.Load()
		if s.First == 0 || s.Epoch.Start == 0 || !b.due(s.Class, now, declared) {
			continue
		}
		if err := b.finish(s.Class, now); err != nil {
			errs = append(errs, err) // and it is tried again
			continue
		}
		b.retired(s.Class, now, declared)
	}
	return errors.Join(errs...)
}

// due says whether there can be anything to make final since the last time: the near side keeps something else, or more
// was declared.
func (b *books) due(c diode.Class, now kept, declared uint64) bool {
	if b.ledger.State().OpenRanges == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	x, ok := b.class(c)
	return ok && (x.retired != now || x.declared != declared)
}

// retired notes what everything declared so far was compared with.
func (b *books) retired(c diode.Class, now kept, declared uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.classes[c].retired, b.classes[c].declared = now, declared
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
