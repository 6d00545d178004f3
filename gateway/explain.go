package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// Bounds of one explanation (ours): it reads what it tells of, while links and receivers work beside it.
const (
	maxExplainBatches   = 16384
	maxExplainBytes     = 512 << 20
	maxExplainTime      = 20 * time.Second
	maxExplainEndpoints = 16384 // remembered, all receivers together
	shownEndpoints      = 100   // told, of each receiver
)

// Explain says what ranges of a class held: receivers, endpoints, times and counts. It stops at its bounds and says so.
func (g *Gateway) Explain(ctx context.Context, r console.ExplainRequest) (console.Explanation, error) {
	l, err := g.sendingLink(r.Link)
	if err != nil {
		return console.Explanation{}, err
	}
	a, err := typed(r.Link, r.Class, r.Ranges)
	if err != nil {
		return console.Explanation{}, err
	}
	x := explainer{
		out:  console.Explanation{Link: r.Link, Class: className(a.class)},
		log:  l.origin.log(a.class),
		by:   map[string]*told{},
		ends: time.Now().Add(maxExplainTime),
	}
	for _, r := range a.ranges {
		if err := x.read(ctx, r); err != nil {
			return console.Explanation{}, internal(l.diode.Name, err)
		}
	}
	return x.result(), nil
}

// explainer reads entries and adds up.
type explainer struct {
	out     console.Explanation
	log     *spool.Log
	by      map[string]*told // by receiver
	known   int              // endpoints remembered
	ends    time.Time
	buf     []byte
	decoder sdk.Decoder
}

// told is what is said of one receiver.
type told struct {
	console.ExplainedReceiver
	by map[string]*console.ExplainedEndpoint
}

func (x *explainer) read(ctx context.Context, r diode.Range) error {
	r, missing := cut(x.log, r)
	x.out.Missing += missing
	for seq := r.First; seq <= r.Last && !x.full(seq); seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := x.log.Read(seq, x.buf)
		corrupt, gone := (*spool.CorruptError)(nil), spool.ErrGone{}
		switch {
		case errors.As(err, &corrupt), errors.As(err, &gone):
			x.out.Missing++
			continue
		case err != nil:
			return err
		}
		x.buf = e.Data
		x.batch(e)
	}
	return nil
}

// full ends the reading at its bounds.
func (x *explainer) full(seq uint64) bool {
	if x.out.Cut != "" {
		return true
	}
	var why string
	switch {
	case x.out.Batches >= maxExplainBatches:
		why = fmt.Sprintf("%d batches", x.out.Batches)
	case x.out.Bytes >= maxExplainBytes:
		why = fmt.Sprintf("%d MiB", x.out.Bytes>>20)
	case time.Now().After(x.ends):
		why = maxExplainTime.String()
	default:
		return false
	}
	x.out.Cut = fmt.Sprintf("%s read: ask again from %d on", why, seq)
	return true
}

func (x *explainer) batch(e spool.Entry) {
	env, data, err := parseEnvelope(e.Data)
	x.out.Batches++
	x.out.Records += uint64(e.Weight)
	x.out.Bytes += uint64(len(data))
	if err != nil {
		return
	}
	x.out.From, x.out.To = widened(x.out.From, x.out.To, env.accepted)
	h, err := x.decoder.Open(data)
	if err != nil {
		x.receiver("(unreadable)", uint64(e.Weight))
		return
	}
	t := x.receiver(h.Receiver, uint64(h.Count))
	var r sdk.Record
	for {
		more, err := x.decoder.Next(&r)
		if err != nil || !more {
			return
		}
		x.record(t, &r)
	}
}

func (x *explainer) receiver(name string, records uint64) *told {
	t, ok := x.by[name]
	if !ok {
		t = &told{ExplainedReceiver: console.ExplainedReceiver{Name: name}, by: map[string]*console.ExplainedEndpoint{}}
		x.by[name] = t
	}
	t.Batches++
	t.Records += records
	return t
}

func (x *explainer) record(t *told, r *sdk.Record) {
	name := cmp.Or(r.Connection.Endpoint, r.Connection.Remote.Addr().Unmap().String())
	p, ok := t.by[name]
	if !ok && x.known >= maxExplainEndpoints {
		return // the receiver's count has it
	}
	if !ok {
		p = &console.ExplainedEndpoint{Endpoint: name}
		t.by[name] = p
		x.known++
	}
	p.Records++
	p.From, p.To = widened(p.From, p.To, r.Received)
}

// widened widens a span of time by one moment, unless that is not known.
func widened(from, to, at time.Time) (first, last time.Time) {
	switch {
	case at.IsZero():
		return from, to
	case from.IsZero():
		return at.UTC(), at.UTC()
	case at.Before(from):
		return at.UTC(), to
	case at.After(to):
		return from, at.UTC()
	}
	return from, to
}

func (x *explainer) result() console.Explanation {
	x.out.Receivers = []console.ExplainedReceiver{}
	for _, t := range x.by {
		t.Endpoints = []console.ExplainedEndpoint{}
		for _, p := range t.by {
			t.Endpoints = append(t.Endpoints, *p)
		}
		slices.SortFunc(t.Endpoints, func(a, b console.ExplainedEndpoint) int {
			return cmp.Or(cmp.Compare(b.Records, a.Records), cmp.Compare(a.Endpoint, b.Endpoint))
		})
		if n := len(t.Endpoints); n > shownEndpoints {
			t.Endpoints, t.More = t.Endpoints[:shownEndpoints], uint64(n-shownEndpoints)
		}
		x.out.Receivers = append(x.out.Receivers, t.ExplainedReceiver)
	}
	slices.SortFunc(x.out.Receivers, func(a, b console.ExplainedReceiver) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), cmp.Compare(a.Name, b.Name))
	})
	if x.known >= maxExplainEndpoints && x.out.Cut == "" {
		x.out.Cut = fmt.Sprintf("more than %d endpoints: the rest is counted with its receiver alone", maxExplainEndpoints)
	}
	return x.out
}
