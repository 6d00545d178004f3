package warden

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// opens is what takes CAP_NET_RAW, or the right to grow a buffer.
type opens interface {
	Packet(q guard.PacketQuery) (*os.File, error)
	Look(index int, name string) (*os.File, error)
	Grow(socket *os.File, bytes int) error
}

// order takes a policy over: it is checked, written down, and enforced before
// the answer goes out.
func (l *loop) order(ctx context.Context, c call) outcome {
	p, err := argument[guard.Policy](c)
	if err == nil {
		err = l.keepPorts(&p, func(guard.Port) bool { return c.peer.uid != l.operator })
	}
	if err != nil {
		return fail(err)
	}
	return l.enact(ctx, c, p)
}

// revise is an order of who does not know on which networks receivers listen:
// of the ports in force those stay that have one of these numbers.
func (l *loop) revise(ctx context.Context, c call) outcome {
	r, err := argument[revision](c)
	if err == nil {
		err = l.keepPorts(&r.Policy, func(port guard.Port) bool {
			return c.peer.uid != l.operator || slices.Contains(r.Ports, port.Port)
		})
	}
	if err != nil {
		return fail(err)
	}
	return l.enact(ctx, c, r.Policy)
}

// enact puts a policy in the place of the one in force, unless it guards less
// and is not an operator's.
func (l *loop) enact(ctx context.Context, c call, p guard.Policy) outcome {
	if l.policy != nil && l.deciding != nil && l.policy.Equal(p) {
		l.look(ctx)
		return outcome{body: change{}, err: l.trouble}
	}
	what := l.lessThanNow(p)
	if err := l.permit(c, p, what); err != nil {
		return l.refuse(c, err)
	}
	// What is isolated now and is not to be is nowhere to be found here, until it is given back.
	next, err := l.startDeciding(ctx, p, l.annex != nil && !p.Isolate)
	if err != nil {
		return l.refuse(c, err)
	}
	if len(what) == 0 {
		what = l.lessHere(p, next)
	}
	if err := l.permit(c, p, what); err != nil {
		next.halt()
		return l.refuse(c, err)
	}
	l.deciding.halt()
	l.deciding = next
	l.policy, l.unread = &p, false
	l.scene.forget() // what the policy before held is held no more
	l.log.Info("guard: policy ordered", "uid", c.peer.uid, "pid", c.peer.pid, "policy", p.String())
	if len(what) > 0 {
		l.log.Warn("guard: less is guarded by this order", "uid", c.peer.uid, "pid", c.peer.pid, "what", what)
	}
	kept := l.store.setPolicy(&p)
	l.look(ctx)
	return outcome{body: change{Weaker: what}, err: errors.Join(kept, l.trouble)}
}

func (l *loop) refuse(c call, err error) outcome {
	l.log.Warn("guard: order refused", "uid", c.peer.uid, "pid", c.peer.pid, "error", err)
	return fail(err)
}

// errBy refuses what nobody answers for.
var errBy = errors.New("guard: warden: say who asks, and a reason")

func (b By) check() error {
	if strings.TrimSpace(b.Who) == "" || strings.TrimSpace(b.Reason) == "" {
		return errBy
	}
	return nil
}

// reset lets what has tripped go on, after an operator looked at it. What is
// still wrong trips again at once, and the answer says so.
func (l *loop) reset(ctx context.Context, c call) outcome {
	by, err := l.byOperator(c)
	if err != nil {
		return fail(err)
	}
	before := l.trips
	if err := l.store.setTrips(nil); err != nil {
		return fail(err)
	}
	l.trips, l.wear = nil, wear{}
	l.log.Warn("guard: reset", "who", by.Who, "uid", c.peer.uid, "reason", by.Reason, "trips", len(before))
	errs := l.afresh(before)
	l.look(ctx)
	if len(l.trips) > 0 {
		errs = append(errs, fmt.Errorf("guard: %s tripped again: %s", l.trips[0].Interface, l.trips[0].Cause))
	}
	return fail(errors.Join(append(errs, l.trouble)...))
}

// afresh fences interfaces that tripped anew, while they are down, so that
// their counters begin anew, and sets them up.
func (l *loop) afresh(trips []guard.Trip) []error {
	if l.fence == nil || l.applied == nil || len(trips) == 0 {
		return nil
	}
	tripped := map[int]bool{}
	for _, t := range trips {
		if index := l.indexOf(t); l.scene.isFenced(index) {
			tripped[index] = true
		}
	}
	errs := l.fenceAnew(tripped)
	if len(errs) > 0 {
		return errs
	}
	for index := range tripped {
		if err := l.at(index, func() error { return l.links.Up(index) }); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// fenceAnew takes the drops before these interfaces away and builds them
// again. They are down meanwhile.
func (l *loop) fenceAnew(which map[int]bool) []error {
	for index := range which {
		if err := l.fence.Down(index); err != nil {
			return []error{err}
		}
	}
	plan := *l.applied
	without := plan
	without.Targets = nil
	for _, t := range plan.Targets {
		if !which[t.Index] {
			without.Targets = append(without.Targets, t)
		}
	}
	for _, p := range []fence.Plan{without, plan} {
		if err := l.fence.Apply(p); err != nil {
			l.applied = nil
			return []error{err}
		}
	}
	l.keepSent(l.readSent(plan))
	return nil
}

// release takes every drop away and forgets the policy.
func (l *loop) release(ctx context.Context, c call) outcome {
	by, err := l.byOperator(c)
	if err != nil {
		return fail(err)
	}
	l.log.Warn("guard: released: nothing keeps these interfaces silent any more", "who", by.Who, "uid", c.peer.uid,
		"reason", by.Reason, "interfaces", len(l.scene.fenced()))
	l.stopDeciding()
	l.scene, l.outside, l.policy, l.applied, l.trouble, l.unread = newScene(), nil, nil, nil, nil, false
	err = l.store.setPolicy(nil)
	if l.fence != nil {
		err = errors.Join(err, l.dismantle())
	}
	l.look(ctx)
	return fail(err)
}

// dismantle takes the fence down, and what it stands on.
func (l *loop) dismantle() error {
	if l.annex != nil {
		if err := l.vacate(); err != nil {
			return err
		}
	}
	if err := l.fence.Apply(fence.Plan{}); err != nil {
		return err
	}
	l.scatter()
	err := l.fence.Close()
	l.fence = nil
	return err
}

// accept lets an interface that is new to this machine have a role.
func (l *loop) accept(ctx context.Context, c call) outcome {
	q, err := argument[interfaceQuery](c)
	if err != nil {
		return fail(err)
	}
	if l.deciding == nil {
		return fail(errNoPolicy)
	}
	d, err := l.deciding.Accept(q.Name)
	if err != nil {
		return fail(err)
	}
	l.log.Warn("guard: interface accepted", "interface", d.Name, "role", d.Role.String(), "uid", c.peer.uid)
	l.look(ctx)
	return outcome{body: d}
}

// audit looks now, not within a second.
func (l *loop) audit(ctx context.Context, _ call) outcome {
	l.look(ctx)
	return outcome{body: l.board.standing(), err: l.trouble}
}

// errNoPolicy refuses what depends on one.
var errNoPolicy = errors.New("guard: warden: it has no policy yet")

// packet opens a capturing socket on an interface that receives a one-way
// link, for that link alone.
func (l *loop) packet(_ context.Context, c call) outcome {
	q, err := argument[guard.PacketQuery](c)
	if err != nil {
		return fail(err)
	}
	d, err := l.listed(q.Index, q.Name)
	if err != nil {
		return fail(err)
	}
	if d.Role != guard.DiodeRX {
		return fail(&guard.RefusedError{
			Interface: d.Name, Role: d.Role, Reason: d.Reason,
			Remedy: "capture only where a one-way link arrives: name it in the link's receiver",
		})
	}
	file, err := l.opens.Packet(q)
	return outcome{file: file, err: err}
}

// lookAt opens a socket that sees the first bytes of frames.
func (l *loop) lookAt(_ context.Context, c call) outcome {
	q, err := argument[interfaceQuery](c)
	if err != nil {
		return fail(err)
	}
	d, err := l.listed(q.Index, q.Name)
	if err != nil {
		return fail(err)
	}
	file, err := l.opens.Look(d.Index, d.Name)
	return outcome{file: file, err: err}
}

// listed finds an interface by index and name, which must both be right.
func (l *loop) listed(index int, name string) (guard.Decision, error) {
	for _, d := range l.scene.decisions {
		if d.Index == index && d.Name == name && d.Reason != isolatedReason {
			return d, nil
		}
	}
	return guard.Decision{}, fmt.Errorf("guard: warden: there is no interface %d %q", index, name)
}

// bufferMost bounds what one socket may have, in bytes. Ours: many times what
// the fastest link was measured to need.
const bufferMost = 1 << 30

// buffer grows the receive buffer of a socket that came along.
func (l *loop) buffer(_ context.Context, c call) outcome {
	q, err := argument[bufferQuery](c)
	switch {
	case err != nil:
		return fail(err)
	case c.file == nil:
		return fail(fmt.Errorf("%w: no socket came with %s", errMessage, c.verb))
	case q.Bytes <= 0 || q.Bytes > bufferMost:
		return fail(fmt.Errorf("guard: warden: a buffer of %d bytes: want 1 to %d", q.Bytes, bufferMost))
	}
	return fail(l.opens.Grow(c.file, q.Bytes))
}

// same reports whether two plans ask for the same.
func same(a, b fence.Plan) bool { return reflect.DeepEqual(a, b) }
