package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// GuardTest reads everything back now. With Watch it also lets the warden try each drop, and watches what arrives at the
// service interfaces.
func (g *Gateway) GuardTest(ctx context.Context, r console.GuardTestRequest) (console.GuardReport, error) {
	out := console.GuardReport{Node: g.opts.Node, At: time.Now().UTC(), SingleBarrier: singleBarrier(g.opts.Plan.Config, g.opts.Node, time.Now())}
	if g.warden != nil {
		if _, err := g.warden.Audit(ctx); err != nil {
			g.log.Warn("guard test: the warden does not read back", "error", err)
		}
	}
	if r.Watch {
		out.Trials = g.trials(ctx)
		out.Mirrors = g.mirrors(ctx)
	}
	out.Guard = g.guardStatus()
	return out, nil
}

// trials lets the warden send frames that must not leave.
func (g *Gateway) trials(ctx context.Context) []console.Trial {
	if g.warden == nil {
		return nil
	}
	report, err := g.warden.Test(ctx)
	if err != nil {
		return []console.Trial{{Interface: "all", Checks: []console.Check{{Name: "trial", Text: err.Error()}}}}
	}
	var out []console.Trial
	for _, p := range report.Probes {
		out = append(out, trialOf(p))
	}
	return out
}

func trialOf(p warden.Probe) console.Trial {
	c := console.Check{Name: "frames that must not leave", OK: p.OK || p.Idle, Text: p.Text}
	return console.Trial{Interface: p.Interface, Checks: []console.Check{c}}
}

// mirrors watches all service interfaces at once.
func (g *Gateway) mirrors(ctx context.Context) []console.Mirror {
	type look struct {
		name string
		call *call
		got  guard.Mirror
	}
	var looks []*look
	for _, d := range g.guard.Snapshot().Decisions {
		if d.Role != guard.Service || d.Loopback {
			continue
		}
		l := &look{name: d.Name}
		l.call = start(func() (err error) {
			l.got, err = g.guard.CheckMirror(ctx, l.name)
			return err
		})
		looks = append(looks, l)
	}
	var out []console.Mirror
	for _, l := range looks {
		if err := l.call.wait(); err != nil {
			out = append(out, console.Mirror{Interface: l.name, Verdict: console.MirrorUndecided, Text: err.Error()})
			continue
		}
		out = append(out, mirrorOf(l.name, l.got))
	}
	return out
}

func mirrorOf(name string, m guard.Mirror) console.Mirror {
	return console.Mirror{Interface: name, Verdict: m.Verdict, Unicast: m.Unicast, Foreign: m.Foreign, Text: m.Text}
}

// GuardReset lets what has tripped go on.
func (g *Gateway) GuardReset(ctx context.Context, r console.GuardResetRequest) (console.Guard, error) {
	switch {
	case r.Reason == "":
		return console.Guard{}, console.Errorf(console.CodeRefused, "a reset needs a reason: sluice guard reset --reason TEXT")
	case g.warden == nil:
		return console.Guard{}, console.Errorf(console.CodeRefused, "nothing can trip on this node: no interface of it needs a fence")
	}
	if err := g.noteFor(ctx, auditlog.Entry{What: auditlog.Reset, Object: "guard", Detail: r.Reason}); err != nil {
		return console.Guard{}, err
	}
	err := g.warden.Reset(ctx, warden.By{Who: console.WhoOf(ctx).String(), Reason: r.Reason})
	if needs, ok := errors.AsType[*warden.RootError](err); ok { // this node may be what tripped it
		return console.Guard{}, console.Errorf(console.CodeNeedsRoot, "%v", needs)
	}
	if err != nil {
		return console.Guard{}, console.Errorf(console.CodeRefused, "%v", err)
	}
	if _, err := g.warden.Audit(ctx); err != nil {
		return console.Guard{}, console.Errorf(console.CodeNotNow, "%v", err)
	}
	return g.guardStatus(), nil
}

// AcceptInterface watches an interface and then remembers it as one that may become a service interface.
func (g *Gateway) AcceptInterface(ctx context.Context, r console.AcceptRequest) (console.Accepted, error) {
	var out console.Accepted
	m, err := g.guard.CheckMirror(ctx, r.Name)
	if rule, ok := errors.AsType[*guard.RuleError](err); ok {
		return out, console.Errorf(console.CodeRefused, "%v", rule)
	}
	if err != nil {
		m = guard.Mirror{Verdict: guard.MirrorUndecided, Text: fmt.Sprintf("%s could not be watched: %v", r.Name, err)}
	}
	seen := mirrorOf(r.Name, m)
	if m.Verdict == guard.MirrorPort && !r.Force {
		return out, console.Errorf(console.CodeRefused, "%s; where it is none, accept it with --force", m.Text)
	}
	if err := g.noteFor(ctx, auditlog.Entry{What: auditlog.Accept, Object: "interface " + r.Name, Detail: m.Text}); err != nil {
		return out, err
	}
	if g.warden != nil { // it decides by itself, and drops what arrives for the receivers elsewhere
		if _, err := g.warden.Accept(ctx, r.Name); err != nil {
			return out, console.Errorf(console.CodeRefused, "%v", err)
		}
	}
	d, err := g.guard.Accept(r.Name)
	if err != nil {
		return out, console.Errorf(console.CodeRefused, "%v", err)
	}
	return console.Accepted{Interface: interfaceOf(d), Mirror: &seen}, nil
}
