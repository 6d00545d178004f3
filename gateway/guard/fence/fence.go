package fence

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// Options are what a Fence is built from.
type Options struct {
	// Log takes what was changed, and warnings. Nil: nothing is logged.
	Log *slog.Logger
	// Table holds the nftables drops; OpenTable and AdoptTable make one. It
	// stays the caller's: Close does not close it. Nil: this kernel has no
	// nftables.
	Table *Table
	// Single accepts a kernel that can have only one of the two egress drops.
	Single bool
}

// Fence builds what a Plan says, and reads it back. Its methods may be called
// at the same time; one works at a time.
type Fence struct {
	log    *slog.Logger
	kernel kernel
	has    features

	mu     sync.Mutex // guards what follows and what stands in the kernel
	plan   Plan
	fenced map[int]*fencing
}

// features are the kinds of drops that this kernel can have.
type features struct{ nft, tc bool }

// fencing is what is remembered of an interface that is fenced.
type fencing struct {
	target Target
	// base is what the transmit counter was when it was fenced, passed what
	// our program had let pass then. Both are only known when based is set.
	base, passed uint64
	based        bool
	// slack is how far the transmit counter of a sending link may run ahead
	// of the program, in frames: one that was taken over from an earlier
	// process has sent frames that its driver has not counted yet. It is
	// what passed within the first slackLooks looks.
	slack   uint64
	looks   int
	recount bool // the counting has to begin anew
	// relatives are those that it had when the plan was applied.
	relatives string
	// raise: this process set it down, and has to set it up again.
	raise bool
}

// slackLooks is how many looks, of a second each, the counter of a driver may
// lag. Ours: cards update theirs every second or two.
const slackLooks = 5

// New probes what this kernel has. What is missing is a *MissingError; with
// Single one egress drop suffices. It needs CAP_NET_ADMIN and CAP_BPF. What an
// earlier process left standing stays as it is until Apply.
func New(o Options) (*Fence, error) {
	k, has, err := openProbed(o)
	if err != nil {
		return nil, err
	}
	return newFence(o.Log, k, has), nil
}

func newFence(log *slog.Logger, k kernel, has features) *Fence {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Fence{log: log, kernel: k, has: has, fenced: map[int]*fencing{}}
}

// Down sets an interface down, and leaves it so: Apply does not set it up
// again.
func (f *Fence) Down(index int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if was := f.fenced[index]; was != nil {
		was.raise = false
	}
	if err := f.kernel.do(setDown{index: index}); err != nil {
		return fmt.Errorf("guard: fence: %w", err)
	}
	return nil
}

// Close lets go of what this process holds. What stands before the interfaces
// keeps standing.
func (f *Fence) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.kernel.close(); err != nil {
		return fmt.Errorf("guard: fence: %w", err)
	}
	return nil
}

// Remove takes every drop away, and the tables with them; the fence is of no
// use afterwards but to be closed. Quiet settings stay.
func (f *Fence) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.kernel.read(f.look(f.plan))
	if err != nil {
		return fmt.Errorf("guard: fence: %w", err)
	}
	var errs []error
	for at, p := range s.programs {
		if p.runs != "" {
			errs = append(errs, f.kernel.do(dropProgram{at}))
		}
	}
	if f.has.nft {
		errs = append(errs, f.kernel.do(dropTables{}))
	}
	f.plan, f.fenced = Plan{}, map[int]*fencing{}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("guard: fence: remove: %w", err)
	}
	return nil
}

// look says what has to be read for a plan.
func (f *Fence) look(p Plan) look {
	out := look{rules: p.everyRule(), settings: map[int][]setting{}}
	for _, t := range p.Targets {
		out.indexes = append(out.indexes, t.Index)
		out.settings[t.Index] = append(out.settings[t.Index], t.quiet()...)
		if !f.has.tc {
			continue
		}
		for _, dir := range directions() {
			out.programs = append(out.programs, t.program(dir))
		}
	}
	return out
}

// silent reports whether nothing at all may be sent by the target.
func (t Target) silent() bool { return t.Role != guard.DiodeTX }
