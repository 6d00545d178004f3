package warden

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/sluice-gateway/sluice/internal/privilege"
)

// What a keeper is asked for.
const (
	verbKeep   = "keep"   // keptName, with a descriptor
	verbGive   = "give"   // keptName; the answer brings the descriptor
	verbList   = "list"   // the answer is kept
	verbForget = "forget" // keptName
	verbQuit   = "quit"
)

// keptMost bounds what one keeper holds: the table's socket and the namespace
// of isolated interfaces.
const keptMost = 8

type keptName struct {
	Name string `json:"name"`
}

// kept is what a keeper holds.
type kept struct {
	PID   int      `json:"pid"`
	Names []string `json:"names"`
}

// Keep is the verb guard-keeper: a process that holds descriptors for the
// warden while there is none, hands them back to the same user, and can do
// nothing else. It ends when it is told to. It returns the exit code.
func Keep(args []string) int {
	flags := flag.NewFlagSet(KeeperVerb, flag.ContinueOnError)
	socket := flags.String("socket", "", "where it answers")
	reduced := flags.Bool(reducedFlag, false, "it has given its privileges away already")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := keep(*socket, *reduced); err != nil {
		fmt.Fprintln(os.Stderr, "guard: keeper:", err)
		return 1
	}
	return 0
}

func keep(socket string, reduced bool) error {
	if err := shed(reduced); err != nil {
		return err
	}
	// Signals that end a terminal's or a service's processes are for others.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	l, err := listen(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(socket) }()
	if err := seal(); err != nil {
		return errors.Join(err, l.Close())
	}
	k := &keeper{files: map[string]*os.File{}, quit: stop}
	newServer(slog.New(slog.DiscardHandler), []int{os.Getuid()}, k, nil).run(ctx, l)
	return nil
}

// shed makes sure that this process has no privilege at all, by executing its
// program anew when it has one.
func shed(again bool) error {
	sets, err := privilege.Of(0)
	if err != nil {
		return err
	}
	if sets.Permitted == 0 {
		return nil
	}
	if again {
		return fmt.Errorf("it still has %s", sets.Permitted)
	}
	return privilege.ReExec(nil, append(slices.Clone(os.Args), "--"+reducedFlag), os.Environ())
}

// reducedFlag marks a process that has executed itself anew to be rid of
// privileges, so that it does not try for ever.
const reducedFlag = "reduced"

// keeper implements answerer.
type keeper struct {
	quit func()

	mu    sync.Mutex // guards files
	files map[string]*os.File
}

var errNotKept = errors.New("guard: keeper: there is no such thing")

func (k *keeper) answer(_ context.Context, c call) (any, *os.File, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch c.verb {
	case verbKeep:
		return nil, nil, k.keep(c)
	case verbGive:
		return k.give(c)
	case verbList:
		names := make([]string, 0, len(k.files))
		for name := range k.files {
			names = append(names, name)
		}
		slices.Sort(names)
		return kept{PID: os.Getpid(), Names: names}, nil, nil
	case verbForget:
		return nil, nil, k.forget(c)
	case verbQuit:
		k.quit()
		return nil, nil, nil
	}
	return nil, nil, fmt.Errorf("guard: keeper: %q is not something it does", c.verb)
}

// keep takes a descriptor, in place of an earlier one of that name.
func (k *keeper) keep(c call) error {
	q, err := argument[keptName](c)
	switch {
	case err != nil:
		return err
	case c.file == nil:
		return fmt.Errorf("%w: nothing came to be kept", errMessage)
	case k.files[q.Name] == nil && len(k.files) >= keptMost:
		return fmt.Errorf("guard: keeper: it holds %d things already", keptMost)
	}
	own, err := duplicate(c.file, q.Name)
	if err != nil {
		return err
	}
	if old := k.files[q.Name]; old != nil {
		_ = old.Close() // replaced
	}
	k.files[q.Name] = own
	return nil
}

func (k *keeper) forget(c call) error {
	q, err := argument[keptName](c)
	if f := k.files[q.Name]; err == nil && f != nil {
		_ = f.Close() // it was held for this moment
		delete(k.files, q.Name)
	}
	return err
}

func (k *keeper) give(c call) (any, *os.File, error) {
	q, err := argument[keptName](c)
	if err != nil {
		return nil, nil, err
	}
	f := k.files[q.Name]
	if f == nil {
		return nil, nil, fmt.Errorf("%w: %q", errNotKept, q.Name)
	}
	own, err := duplicate(f, q.Name) // the server closes what it has sent
	return nil, own, err
}

// duplicate returns another descriptor of the same open file.
func duplicate(f *os.File, name string) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dup error
	if err := raw.Control(func(old uintptr) { fd, dup = syscall.Dup(int(old)) }); err != nil {
		return nil, err
	}
	if dup != nil {
		return nil, dup
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name), nil
}
