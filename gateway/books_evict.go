package gateway

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// errBehind keeps a spool from giving up entries that the ledger has not read.
var errBehind = errors.New("gap ledger has not read the entry yet")

// evict notes that the spool gives up an entry. Only what some sink has not had is lost; it can be sent again, and then
// comes a second time to those sinks that have had it. It is called by the spool's writer, and returns nil when the loss
// is on disk.
func (b *books) evict(class sdk.Class, h spool.EntryHead) error {
	if h.Err != nil {
		return nil // nobody can say what it was: the spool counts it
	}
	c := diode.Class(class)
	b.mu.Lock()
	x, ok := b.class(c)
	b.mu.Unlock()
	if !ok {
		return errBehind // the node is being opened
	}
	if x.cursor.Acked() < h.Seq {
		if err := b.sync(); err != nil {
			return err
		}
	}
	if x.cursor.Acked() < h.Seq {
		b.awake()
		return errBehind
	}
	env, _, err := parseEnvelope(h.Data)
	if err != nil || env.kind != kindLink || !b.wanted(c, h.Seq) {
		return nil //nolint:nilerr // what cannot be read was never a batch of the link
	}
	at := diode.Neighbour{Near: env.accepted, Far: env.arrived}
	g := diode.Gap{
		Epoch: env.id.Epoch, Class: env.id.Class, First: env.id.Seq, Last: env.id.Seq, Weight: h.Weight, WeightKnown: true,
		SumAfter: env.sumBefore + h.Weight, Reason: diode.ReasonFarFull, DeclaredAt: time.Now(), Before: at, After: at,
	}
	err = b.ledger.Evict(g, x.mark(c, h.Seq))
	b.declarations.Add(1)
	if err != nil {
		return err
	}
	b.mu.Lock()
	lost := b.lost
	b.mu.Unlock()
	if lost != nil {
		lost(env.id)
	}
	return nil
}

// wanted says that some sink has not had an entry, or that there is none.
func (b *books) wanted(c diode.Class, seq uint64) bool {
	sinks := b.sinksOf(c)
	return len(sinks) == 0 || slices.ContainsFunc(sinks, func(s *spool.Cursor) bool { return s.Acked() < seq })
}

// sinksOf are the cursors of all sinks. They are there before anything is written to the spool.
func (b *books) sinksOf(c diode.Class) []*spool.Cursor {
	b.mu.Lock()
	x := b.classes[c]
	b.mu.Unlock()
	if x.sinks != nil {
		return x.sinks
	}
	sinks := []*spool.Cursor{}
	for _, s := range x.log.Stats().Cursors {
		if !strings.HasPrefix(s.Name, sinkCursor) {
			continue
		}
		if cursor, err := x.log.Cursor(s.Name); err == nil {
			sinks = append(sinks, cursor)
		}
	}
	b.mu.Lock()
	b.classes[c].sinks = sinks
	b.mu.Unlock()
	return sinks
}
