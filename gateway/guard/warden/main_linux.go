package warden

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/internal/privilege"
	"github.com/sluice-gateway/sluice/internal/zlog"
)

// settings are what the command line says.
type settings struct {
	socket, state, node string
	uid                 int
	isolate             bool // a policy may ask for it, which takes CAP_SYS_ADMIN
	reduced             bool
}

// Main is the verb guard-warden. It guards until ctx ends, and leaves
// everything standing then. It returns the exit code. args are those behind
// the verb; ctx ends by SIGTERM.
//
//	--socket PATH  where it answers
//	--state DIR    where it keeps the policy and what is latched
//	--node NAME    the node's name, for messages
//	--uid N        who may talk to it, beside user 0: a number or a name
//	--isolate      a policy may ask for a namespace of its own
//	--detach       start another process that does all this, and end
func Main(ctx context.Context, args []string, stderr io.Writer) int {
	log, err := zlog.New(stderr, zlog.JSON, "info")
	if err != nil {
		return 1
	}
	s, away, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0 // it was printed
	}
	if err != nil {
		return 2
	}
	if away {
		args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "--detach" })
		pid, err := detach(args)
		if err != nil {
			log.Error("guard: detach", "error", err)
			return 1
		}
		fmt.Fprintln(os.Stdout, pid)
		return 0
	}
	if err := guardNode(ctx, s, log); err != nil {
		log.Error("guard: warden", "error", err)
		return 1
	}
	return 0
}

// errPlaces refuses a command line that says too little.
var errPlaces = errors.New("guard: warden: --socket and --state are needed")

// parse reads the command line. What is wrong with it is printed.
func parse(args []string, stderr io.Writer) (s settings, away bool, err error) {
	flags := flag.NewFlagSet(Verb, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.socket, "socket", "", "where it answers")
	flags.StringVar(&s.state, "state", "", "its state directory")
	flags.StringVar(&s.node, "node", "", "the node's name")
	user := flags.String("uid", "0", "who may talk to it, beside user 0: a number, or a user's name")
	flags.BoolVar(&s.isolate, "isolate", false, "monitoring points may have a namespace of their own, which takes CAP_SYS_ADMIN")
	flags.BoolVar(&s.reduced, reducedFlag, false, "it has given its other privileges away already")
	flags.BoolVar(&away, "detach", false, "start another process that does it, and end")
	if err := flags.Parse(args); err != nil {
		return s, false, err
	}
	if s.socket == "" || s.state == "" {
		fmt.Fprintln(stderr, errPlaces)
		return s, false, errPlaces
	}
	if s.uid, err = uidOf(*user); err != nil {
		fmt.Fprintln(stderr, "guard: warden: --uid:", err)
	}
	return s, away, err
}

// uidOf takes a number, or a name, because a unit knows its users by name.
func uidOf(v string) (int, error) {
	if n, err := strconv.Atoi(v); err == nil {
		return n, nil
	}
	u, err := user.Lookup(v)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

// guardNode is the whole life of a warden.
func guardNode(ctx context.Context, s settings, log *slog.Logger) error {
	if err := os.MkdirAll(s.state, 0o700); err != nil {
		return fmt.Errorf("guard: warden: %w", err)
	}
	if err := privileges(s, log); err != nil {
		return err
	}
	unlock, err := lock(s.state)
	if err != nil {
		return err
	}
	defer unlock()
	w, err := newProcess(ctx, s, log)
	if err != nil {
		return err
	}
	return w.run(ctx)
}

// needs are what a warden works with.
func needs(isolate bool) []privilege.Cap {
	caps := []privilege.Cap{privilege.NetAdmin, privilege.BPF, privilege.NetRaw}
	if isolate {
		caps = append(caps, privilege.SysAdmin)
	}
	return caps
}

// privileges reduces this process to what it needs, and to what is effective
// outside the moments in which a socket or a namespace is opened.
func privileges(s settings, log *slog.Logger) error {
	sets, err := privilege.Of(0)
	if err != nil {
		return err
	}
	needed := privilege.SetOf(needs(s.isolate)...)
	if lacking := needed &^ sets.Permitted; lacking != 0 {
		return fmt.Errorf("guard: warden: it has not %s: start it as root or by its unit", lacking)
	}
	if !s.reduced && sets.Permitted != needed {
		return privilege.ReExec(needs(s.isolate), append(slices.Clone(os.Args), "--"+reducedFlag), os.Environ())
	}
	err = privilege.Lower(privilege.NetAdmin, privilege.BPF)
	if errors.Is(err, privilege.ErrCgo) {
		log.Warn("guard: CAP_NET_RAW stays effective at all times", "error", err)
		return nil
	}
	return err
}

// lock makes sure that one state directory has one warden.
func lock(state string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(state, lockFile), os.O_WRONLY|os.O_CREATE, privateMode)
	if err != nil {
		return nil, fmt.Errorf("guard: warden: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("guard: warden: another one works with %s: %w", state, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // the lock goes with it
}

// process is a warden with everything real.
type process struct {
	log     *slog.Logger
	loop    *loop
	server  *server
	service *service
	mover   *mover
	s       settings
}

func newProcess(ctx context.Context, s settings, log *slog.Logger) (*process, error) {
	moves, err := newMover()
	if err != nil {
		return nil, err
	}
	p := &process{log: log, service: newService(), mover: moves, s: s}
	var kept safe = &keeperSafe{log: log, socket: filepath.Join(s.state, keeperSock), holds: map[string]*os.File{}}
	if p.service.managed() {
		kept = storeSafe{p.service}
	}
	f := &foundation{ctx: ctx, log: log, safe: kept}
	p.loop = newLoop(log, store{s.state})
	p.loop.links, p.loop.opens, p.loop.probes, p.loop.moves = kernelLinks{}, opener{}, opener{}, moves.moves
	p.loop.nudges = moves.nudges
	p.loop.build, p.loop.tend, p.loop.scatter = f.build, f.tend, f.scatter
	p.loop.extend, p.loop.abandon = f.extend, f.abandon
	p.loop.decide = func(policy guard.Policy, tolerant bool, on func([]guard.Decision)) (decider, error) {
		return guard.New(guard.Options{
			Policy: policy, Log: log, DecideOnly: true, Tolerant: tolerant, TendNeighbours: true, OnDecide: on,
			Accepted: filepath.Join(s.state, acceptFile),
		})
	}
	p.server = newServer(log, []int{0, s.uid}, p.loop, p.loop.board)
	return p, nil
}

// run guards until ctx ends, and waits for everything it started.
func (p *process) run(ctx context.Context) error {
	l, err := listen(ctx, p.s.socket)
	if err != nil {
		return err
	}
	p.log.Info("guard: warden", "node", p.s.node, "pid", os.Getpid(), "socket", p.s.socket, "uid", p.s.uid)
	var all sync.WaitGroup
	all.Go(func() { p.server.run(ctx, l) })
	all.Go(func() { p.notify(ctx) })
	all.Go(func() { p.mover.run(ctx) })
	p.loop.run(ctx)
	all.Wait()
	return nil
}

// notify tells the service manager that this process is ready, and that it is
// alive as long as the loop publishes.
func (p *process) notify(ctx context.Context) {
	news, done := p.loop.board.watch()
	defer done()
	state := "READY=1"
	for {
		select {
		case <-ctx.Done():
			p.told(p.service.tell(context.WithoutCancel(ctx), "STOPPING=1", nil))
			return
		case <-news:
		}
		if state != "" {
			p.told(p.service.tell(ctx, state, nil))
		}
		state = ""
		if p.service.every > 0 {
			state = "WATCHDOG=1"
		}
	}
}

func (p *process) told(err error) {
	if err != nil {
		p.log.Warn("guard: service manager not told", "error", err)
	}
}
