package fence

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// Apply brings the kernel into the state of the plan. It changes only what
// differs. An interface that no drop stands before is set down first, and up
// again when everything has been read back; one that cannot be fenced stays
// down. An error of one interface does not keep the others from being fenced.
func (f *Fence) Apply(p Plan) error {
	if err := p.check(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &application{Fence: f, plan: p, errs: map[int]error{}}
	if err := a.run(); err != nil {
		return fmt.Errorf("guard: fence: %w", err)
	}
	return nil
}

// application is one run of Apply:
//
//	read ─> stale drops go ─> input ─> down ─> read ─> drops, quiet ─> read ─> all there? ─> up
type application struct {
	*Fence
	plan    Plan
	now     state
	changed bool
	errs    map[int]error // by index
}

func (a *application) run() error {
	var err error
	// What stands may still be that of the last plan.
	both := Plan{Targets: slices.Concat(a.plan.Targets, a.Fence.plan.Targets), Allowed: a.plan.Allowed, Ports: a.plan.Ports, Shut: a.plan.Shut}
	if a.now, err = a.kernel.read(a.look(both)); err != nil {
		return err
	}
	general := errors.Join(a.dropStale(), a.input())
	a.lower()
	if err := a.again(); err != nil {
		return errors.Join(general, err)
	}
	for _, t := range a.plan.Targets {
		a.each(t, a.install)
	}
	if err := a.again(); err != nil {
		return errors.Join(general, err)
	}
	for _, t := range a.plan.Targets {
		a.each(t, a.finish)
	}
	a.Fence.plan = a.plan
	errs := []error{general, a.dropReplaced()}
	for _, index := range slices.Sorted(maps.Keys(a.errs)) {
		errs = append(errs, a.errs[index])
	}
	return errors.Join(errs...)
}

// again reads back, when something was changed.
func (a *application) again() error {
	if !a.changed {
		return nil
	}
	a.changed = false
	var err error
	a.now, err = a.kernel.read(a.look(a.plan))
	return err
}

// each carries out one step for a target that had no error so far.
func (a *application) each(t Target, step func(Target) error) {
	if a.errs[t.Index] != nil {
		return
	}
	if err := step(t); err != nil {
		a.errs[t.Index] = fmt.Errorf("%s: %w", t.Name, err)
	}
}

func (a *application) do(c change) error {
	a.changed = true
	if err := a.kernel.do(c); err != nil {
		return err
	}
	a.log.Info("guard: fence: changed", "change", c.String())
	return nil
}

// dropStale takes away what stands before interfaces that are no targets.
func (a *application) dropStale() error {
	wanted := map[int]bool{}
	for _, t := range a.plan.Targets {
		wanted[t.Index] = true
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.now.chains)) {
		at, ok := spotOf(name)
		if ok && (wanted[at.index] || a.awaits(name)) {
			continue
		}
		errs = append(errs, a.do(dropChain{name}))
	}
	for at, p := range a.now.programs {
		if !wanted[at.index] && p.runs != "" {
			errs = append(errs, a.do(dropProgram{at}))
		}
	}
	for index := range a.fenced {
		if !wanted[index] {
			delete(a.fenced, index)
		}
	}
	return errors.Join(errs...)
}

// awaits reports whether a chain of an interface that is no target any more
// stands before the name of one that is awaited, or has just come.
func (a *application) awaits(chain string) bool {
	_, here := a.replaced(chain)
	return here || slices.Contains(a.plan.Awaited, a.now.chains[chain].device)
}

// replaced returns the target before whose name a chain of another index
// stands.
func (a *application) replaced(chain string) (Target, bool) {
	at, ok := spotOf(chain)
	device := a.now.chains[chain].device
	for _, t := range a.plan.Targets {
		if ok && device != "" && t.Index != at.index && t.Name == device {
			return t, true
		}
	}
	return Target{}, false
}

// dropReplaced takes away the chains of interfaces that are gone, when their
// successors have drops of their own.
func (a *application) dropReplaced() error {
	wanted := map[int]bool{}
	for _, t := range a.plan.Targets {
		wanted[t.Index] = true
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.now.chains)) {
		at, _ := spotOf(name)
		if t, ok := a.replaced(name); ok && !wanted[at.index] && a.errs[t.Index] == nil {
			errs = append(errs, a.do(dropChain{name}))
		}
	}
	return errors.Join(errs...)
}

// input closes our ports where nothing of ours listens.
func (a *application) input() error {
	if !a.has.nft || a.inputStands(a.plan, a.now) {
		return nil
	}
	return a.do(setInput{a.plan.inputRules()})
}

func (f *Fence) inputStands(p Plan, s state) bool {
	return s.input.there && s.input.hooked && s.input.rules == text(p.inputRules())
}

// lower sets every interface down that is not fenced yet.
func (a *application) lower() {
	for _, t := range a.plan.Targets {
		a.each(t, func(t Target) error {
			l, ok := a.now.links[t.Index]
			if !ok {
				return fmt.Errorf("interface #%d is gone", t.Index)
			}
			was := a.fenced[t.Index]
			if was == nil {
				was = a.takeOver(t)
				a.fenced[t.Index] = was
			}
			fresh := !was.based || was.target.Role != t.Role || !a.silenced(was.target) && !a.silenced(t)
			was.target = t
			if !fresh {
				return nil
			}
			was.based = false
			if !l.up {
				return nil
			}
			was.raise = true
			return a.do(setDown{index: t.Index, keep: t.Role != guard.Monitoring})
		})
	}
}

// takeOver continues what an earlier process built, when both drops still
// stand.
func (a *application) takeOver(t Target) *fencing {
	was := &fencing{target: t, relatives: a.now.links[t.Index].relatives}
	c := a.now.chains[spot{t.Index, egress}.chainName()]
	if !a.has.nft || !a.chainStands(t, egress) || !c.based {
		return was
	}
	if a.has.tc && a.now.programs[spot{t.Index, egress}].runs != t.program(egress).String() {
		return was
	}
	was.base, was.based = c.base, true
	return was
}

// silenced reports whether at least one egress drop stands.
func (a *application) silenced(t Target) bool {
	p := a.now.programs[spot{t.Index, egress}]
	return a.has.nft && a.chainStands(t, egress) || a.has.tc && p.before == "" && p.runs == t.program(egress).String()
}

func (a *application) chainStands(t Target, dir direction) bool {
	return a.now.chainStands(t, dir)
}

func (s state) chainStands(t Target, dir direction) bool {
	c := s.chains[spot{t.Index, dir}.chainName()]
	return c.there && c.hooked && c.device == s.links[t.Index].name && c.rules == text(t.rules(dir))
}

func (s state) programStands(t Target, dir direction) bool {
	p := s.programs[spot{t.Index, dir}]
	return p.mine && p.before == "" && p.runs == t.program(dir).String()
}

// install puts everything there that is not.
func (a *application) install(t Target) error {
	was, l := a.fenced[t.Index], a.now.links[t.Index]
	if !was.based {
		was.base = l.sent
	}
	var errs []error
	for _, dir := range directions() {
		at := spot{t.Index, dir}
		if a.has.nft && (!a.chainStands(t, dir) || !was.based) {
			errs = append(errs, a.do(setChain{at, l.name, t.rules(dir), was.base}))
		}
		if a.has.tc && !a.now.programStands(t, dir) {
			errs = append(errs, a.do(setProgram{at, t.program(dir)}))
			if dir == egress && was.based && !t.silent() {
				was.recount = true
			}
		}
	}
	for _, s := range t.quiet() {
		if value, there := a.now.settings[t.Index][s.name]; !s.met(value, there) {
			errs = append(errs, a.do(set{t.Index, s}))
		}
	}
	if t.Role == guard.Monitoring {
		for _, addr := range l.addrs {
			errs = append(errs, a.do(dropAddress{t.Index, addr}))
		}
	}
	return errors.Join(errs...)
}

// finish reads back, and sets up what this process set down.
func (a *application) finish(t Target) error {
	was, l := a.fenced[t.Index], a.now.links[t.Index]
	for _, dir := range directions() {
		if a.has.nft && !a.chainStands(t, dir) {
			return fmt.Errorf("nft %s: what was installed is not what is read back: %q", dir, a.now.chains[spot{t.Index, dir}.chainName()].rules)
		}
		if a.has.tc && !a.now.programStands(t, dir) {
			return fmt.Errorf("tc %s: %s", dir, a.now.programs[spot{t.Index, dir}].wrong())
		}
	}
	for _, s := range t.quiet() {
		if value, there := a.now.settings[t.Index][s.name]; !s.met(value, there) {
			return fmt.Errorf("%s is %s, want %s", s.name, value, s.want)
		}
	}
	switch {
	case !was.based:
		was.begin(l.sent, a.now.programs[spot{t.Index, egress}].passed)
	case was.recount: // while it sends
		was.begin(l.sent, a.now.programs[spot{t.Index, egress}].passed)
		was.looks = slackLooks
	}
	was.relatives = l.relatives
	if !was.raise {
		return nil
	}
	if err := a.do(setUp{t.Index}); err != nil {
		return err
	}
	was.raise = false
	return nil
}

// wrong says what is wrong with a program.
func (p programState) wrong() string {
	switch {
	case p.before != "":
		return "before it run " + p.before
	case p.runs == "":
		return "is gone"
	case p.runs == foreign:
		return "another filter runs first"
	default:
		return "is not the one of this process"
	}
}

// begin makes the counting begin.
func (w *fencing) begin(sent, passed uint64) {
	w.base, w.passed, w.based = sent, passed, true
	w.slack, w.looks, w.recount = 0, 0, false
}
