package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// keeperWithin bounds what the warden waits for its keeper. Ours: it only
// hands descriptors over.
const keeperWithin = 2 * time.Second

// keeperClient is the warden's way to its keeper: one request at a time.
type keeperClient struct {
	conn *conn
	pid  int
}

// dialKeeper connects to the keeper at socket, and sees that it answers.
func dialKeeper(ctx context.Context, socket string) (*keeperClient, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("guard: keeper: %w", err)
	}
	k := &keeperClient{conn: newConn(c.(*net.UnixConn))}
	if err := k.alive(); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// alive asks whether it answers.
func (k *keeperClient) alive() error {
	m, _, err := k.ask(verbList, "", nil)
	if err != nil {
		return err
	}
	var holds kept
	if err := json.Unmarshal(m.Body, &holds); err != nil {
		return fmt.Errorf("%w: keeper: %w", errMessage, err)
	}
	k.pid = holds.PID
	return nil
}

// ask sends one request and waits for the answer. The file is the caller's.
func (k *keeperClient) ask(verb, name string, file *os.File) (message, *os.File, error) {
	m, err := pack(1, verb, keptName{name})
	if err == nil {
		err = k.conn.unix.SetReadDeadline(time.Now().Add(keeperWithin))
	}
	if err == nil {
		err = k.conn.send(m, connOf(file))
	}
	if err != nil {
		return message{}, nil, fmt.Errorf("guard: keeper: %w", err)
	}
	answer, got, err := k.conn.receive()
	if err == nil && answer.Err != nil {
		err = answer.Err
	}
	if err != nil {
		return message{}, nil, fmt.Errorf("guard: keeper: %s: %w", verb, err)
	}
	return answer, got, nil
}

// connOf keeps nil what is nil.
func connOf(file *os.File) syscall.Conn {
	if file == nil {
		return nil
	}
	return file
}

func (k *keeperClient) close() { k.conn.close() }

// keeperSafe keeps descriptors in a keeper, and starts one when there is none.
type keeperSafe struct {
	log    *slog.Logger
	socket string
	client *keeperClient // nil: none answers
	child  int           // process id of the one that was started here; 0: none
	holds  map[string]*os.File
}

// take implements safe.
func (s *keeperSafe) take(ctx context.Context, name string) (*os.File, error) {
	if s.client == nil {
		client, err := dialKeeper(ctx, s.socket)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, nil // none runs
		}
		if err != nil {
			return nil, err
		}
		s.client = client
	}
	_, file, err := s.client.ask(verbGive, name, nil)
	if answered, ok := errors.AsType[*answerError](err); ok {
		s.log.Info("guard: the keeper has nothing for this process", "what", name, "answer", answered.Text)
		return nil, nil
	}
	return file, err
}

// keep implements safe.
func (s *keeperSafe) keep(ctx context.Context, name string, file *os.File) error {
	if old := s.holds[name]; old != nil && old != file {
		_ = old.Close() // replaced
	}
	s.holds[name] = file
	if err := s.reach(ctx); err != nil {
		return err
	}
	_, _, err := s.client.ask(verbKeep, name, file)
	return err
}

// tend implements safe: a keeper that somebody ended is replaced.
func (s *keeperSafe) tend(ctx context.Context) error {
	s.reap()
	if len(s.holds) == 0 || (s.client != nil && s.client.alive() == nil) {
		return nil
	}
	if s.client != nil {
		s.client.close()
		s.client = nil
		s.log.Warn("guard: the keeper is gone: another one is started")
	}
	for name, file := range s.holds {
		if err := s.keep(ctx, name, file); err != nil {
			return err
		}
	}
	return nil
}

// forget implements safe. A keeper that holds nothing any more ends.
func (s *keeperSafe) forget(names ...string) {
	for _, name := range names {
		if file := s.holds[name]; file != nil {
			_ = file.Close() // a duplicate
			delete(s.holds, name)
		}
		if s.client != nil {
			_, _, _ = s.client.ask(verbForget, name, nil) // a keeper that is gone holds nothing
		}
	}
	if len(s.holds) == 0 && s.client != nil {
		_, _, _ = s.client.ask(verbQuit, "", nil) // it goes before it answers
		s.client.close()
		s.client = nil
	}
}

// reach connects to a keeper, or starts one.
func (s *keeperSafe) reach(ctx context.Context) error {
	if s.client != nil {
		return nil
	}
	client, err := dialKeeper(ctx, s.socket)
	if err == nil {
		s.client = client
		return nil
	}
	if err := s.spawn(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, keeperWithin)
	defer cancel()
	for {
		if client, err = dialKeeper(ctx, s.socket); err == nil {
			s.client = client
			s.log.Info("guard: keeper started", "pid", client.pid)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("guard: the keeper does not answer: %w", err)
		}
		pause(ctx, answerEvery)
	}
}

// spawn starts a keeper that outlives this process and its terminal.
func (s *keeperSafe) spawn(ctx context.Context) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), ownProgram)
	cmd.Args = []string{os.Args[0], KeeperVerb, "--socket", s.socket}
	cmd.Env = without(os.Environ(), serviceVariables())
	cmd.SysProcAttr = detached()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("guard: start the keeper: %w", err)
	}
	s.child = cmd.Process.Pid
	return cmd.Process.Release() // it outlives this process; until then tend takes note of its end
}

// reap takes note of the end of the keeper that was started here.
func (s *keeperSafe) reap() {
	if s.child == 0 {
		return
	}
	if pid, err := syscall.Wait4(s.child, nil, syscall.WNOHANG, nil); pid == s.child || err != nil {
		s.child = 0
	}
}
