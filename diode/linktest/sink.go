package linktest

import (
	"context"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/diode"
)

// Event is a batch or a gap that became durable at the far side.
type Event struct {
	Batch diode.Batch // Data is a copy
	Gap   diode.Gap
	IsGap bool
}

// Sink is a recv.Sink that keeps what it is given in memory. Safe for
// concurrent use.
type Sink struct {
	mu      sync.Mutex // guards what follows
	events  []Event
	refuse  func(diode.Batch) error
	changed chan struct{} // capacity 1
}

// NewSink returns an empty sink.
func NewSink() *Sink { return &Sink{changed: make(chan struct{}, 1)} }

// Refuse makes Deliver answer what f says; nil takes everything.
func (s *Sink) Refuse(f func(diode.Batch) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// Deliver implements recv.Sink.
func (s *Sink) Deliver(_ context.Context, b diode.Batch, done func(error)) error {
	err := s.keep(b)
	if err == nil {
		done(nil)
	}
	return err
}

func (s *Sink) keep(b diode.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		if err := s.refuse(b); err != nil {
			return err
		}
	}
	b.Data = append([]byte(nil), b.Data...)
	s.add(Event{Batch: b})
	return nil
}

// Gap implements recv.Sink.
func (s *Sink) Gap(_ context.Context, g diode.Gap) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(Event{Gap: g, IsGap: true})
	return nil
}

func (s *Sink) add(e Event) {
	s.events = append(s.events, e)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Changed is signalled after something became durable.
func (s *Sink) Changed() <-chan struct{} { return s.changed }

// Restore makes the sink what it was when it had n events: a backup.
func (s *Sink) Restore(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = slices.Clone(s.events[:n])
}

// Events returns what is durable so far.
func (s *Sink) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events...)
}

// Positions derives the durable position of each series from the events in
// stream order, the newest epoch last.
func (s *Sink) Positions() []diode.Position {
	var list []diode.Position
	for _, e := range s.Events() {
		if e.IsGap && e.Gap.Last == 0 {
			continue // says where a series ended, not where it stands
		}
		epoch, class := e.series()
		i := slices.IndexFunc(list, func(p diode.Position) bool { return p.Epoch == epoch && p.Class == class })
		if i < 0 {
			list = append(list, diode.Position{Epoch: epoch, Class: class})
			i = len(list) - 1
		}
		e.move(&list[i])
	}
	return list
}

// Open returns what was recorded as missing and has not been filled since, one
// sequence each.
func (s *Sink) Open() []diode.Gap {
	var list []diode.Gap
	for _, e := range s.Events() {
		if !e.IsGap {
			list = slices.DeleteFunc(list, func(g diode.Gap) bool {
				return g.Epoch == e.Batch.Epoch && g.Class == e.Batch.Class && g.First == e.Batch.Seq
			})
			continue
		}
		for seq := e.Gap.First; seq <= e.Gap.Last; seq++ {
			list = append(list, diode.Gap{Epoch: e.Gap.Epoch, Class: e.Gap.Class, First: seq, Last: seq})
		}
	}
	return list
}

func (e Event) series() ([16]byte, diode.Class) {
	if e.IsGap {
		return e.Gap.Epoch, e.Gap.Class
	}
	return e.Batch.Epoch, e.Batch.Class
}

// move takes the event into the position of its series.
func (e Event) move(p *diode.Position) {
	switch {
	case e.IsGap && e.Gap.Last > p.Seq:
		p.Seq, p.SumAfter = e.Gap.Last, e.Gap.SumAfter
	case !e.IsGap && !e.Batch.Late && e.Batch.Seq > p.Seq:
		p.Seq, p.SumAfter = e.Batch.Seq, e.Batch.SumBefore+uint64(e.Batch.Weight)
	}
}
