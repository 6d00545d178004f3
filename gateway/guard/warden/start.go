package warden

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Spawn says how Start starts a warden.
type Spawn struct {
	Program string // to execute with the verb guard-warden; empty = this one
	Socket  string // where it answers; its directory exists
	State   string // its directory; made, with mode 0700, when it is not there
	Node    string // the node's name, for messages
	UID     int    // of the user beside 0 who may talk to it
	Isolate bool   // the policy may ask for guard.Policy.Isolate
}

// Start starts a warden that outlives this process, in a session of its own,
// and returns when it answers. What it logs goes to warden.log in its state
// directory. It must be called by a process that has the privileges.
func Start(ctx context.Context, s Spawn) error {
	s, err := s.absolute()
	if err == nil {
		err = os.MkdirAll(s.State, 0o700)
	}
	if err != nil {
		return fmt.Errorf("guard: start the warden: %w", err)
	}
	path := filepath.Join(s.State, logFile)
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, privateMode)
	if err != nil {
		return fmt.Errorf("guard: start the warden: %w", err)
	}
	defer func() { _ = log.Close() }()
	began, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("guard: start the warden: %w", err)
	}
	args := []string{s.Program, Verb, "--detach", "--socket", s.Socket, "--state", s.State, "--node", s.Node, "--uid", strconv.Itoa(s.UID)}
	if s.Isolate {
		args = append(args, "--isolate")
	}
	cmd := exec.CommandContext(ctx, s.Program)
	if cmd.Args = args; s.Program == ownProgram {
		cmd.Args[0] = os.Args[0]
	}
	cmd.Dir = "/"
	cmd.Env = without(os.Environ(), serviceVariables())
	cmd.SysProcAttr = detached()
	cmd.Stderr = log
	said, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("guard: start the warden: %w: %s", err, tail(path, began))
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(said)))
	if err != nil {
		return fmt.Errorf("guard: start the warden: %w", err)
	}
	if err := await(ctx, s.Socket, pid); err != nil {
		return fmt.Errorf("guard: the warden was started and does not answer: %w: %s", err, tail(path, began))
	}
	return nil
}

// absolute makes every path one that holds anywhere: the warden keeps no
// directory busy.
func (s Spawn) absolute() (Spawn, error) {
	var errs [2]error
	s.Socket, errs[0] = filepath.Abs(s.Socket)
	s.State, errs[1] = filepath.Abs(s.State)
	if s.Program == "" {
		s.Program = ownProgram
	}
	return s, errors.Join(errs[:]...)
}

// errEndedAtOnce says that the new process is gone already.
var errEndedAtOnce = errors.New("it ended at once")

// await polls until the process with that id answers at the socket.
func await(ctx context.Context, socket string, pid int) error {
	quiet := slog.New(slog.DiscardHandler)
	for {
		c, err := Dial(ctx, socket, quiet)
		if err == nil {
			_, _, err = c.first.receive()
			c.Close()
		}
		if err == nil {
			return nil
		}
		if over(pid) {
			return errEndedAtOnce
		}
		if ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		pause(ctx, answerEvery)
	}
}

// over reports whether a process has ended, also where nobody has taken note
// of that yet (proc_pid_stat(5)). While one thread of several executes a
// program anew the first one looks as if it had ended.
func over(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third one on: state …
	const threads = 20 - 3
	return len(fields) > threads && fields[0] == "Z" && (fields[threads] == "0" || fields[threads] == "1")
}

// tailBytes bounds what an error quotes of a log.
const tailBytes = 2048

// tail returns the end of what was written to a log since began.
func tail(path string, began int64) string {
	data, err := os.ReadFile(path)
	if err != nil || began > int64(len(data)) {
		return "its log cannot be read"
	}
	data = data[began:]
	text := strings.TrimSpace(string(data[max(0, len(data)-tailBytes):]))
	if text == "" {
		return "it logged nothing"
	}
	return "its log ends: " + text
}

// detach starts this program again and leaves it alone: nobody of ours waits
// for it, so it never stays behind as a zombie. It returns its process id.
func detach(args []string) (int, error) {
	cmd := exec.CommandContext(context.Background(), ownProgram)
	cmd.Args = append([]string{os.Args[0], Verb}, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid // Release forgets it
	return pid, cmd.Process.Release()
}
