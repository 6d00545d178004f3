package sdk

import "context"

// Ticket tells when records are decided. Most Writes share the ticket of the one batch that their records are in.
type Ticket struct {
	done chan struct{}
	err  error // valid when done is closed

	earlier []*Ticket // of one Write that filled more than one batch: the batches before the last
	last    *Ticket   // and the last, whose done this shares; nil = this is a batch's own
}

func newTicket() *Ticket { return &Ticket{done: make(chan struct{})} }

// span is the ticket of a Write whose records are in several batches.
func span(earlier []*Ticket, last *Ticket) *Ticket {
	if len(earlier) == 0 {
		return last
	}
	return &Ticket{done: last.done, earlier: earlier, last: last}
}

func (t *Ticket) decide(err error) {
	t.err = err
	close(t.done)
}

// Done is closed when the core has decided on all the records; when the receiver stops, it may be closed earlier.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Wait blocks until the records are durable (nil) or some are lost (see Intake.Deliver), or ctx ends. The ticket of no
// records at all is nil, and Wait returns at once.
func (t *Ticket) Wait(ctx context.Context) error {
	if t == nil {
		return nil
	}
	for _, e := range t.earlier {
		if err := e.Wait(ctx); err != nil {
			return err
		}
	}
	if t.last != nil {
		t = t.last
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
