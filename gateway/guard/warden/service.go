package warden

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// firstPassed is the first descriptor that a service gets (sd_listen_fds(3)).
const firstPassed = 3

// service talks to the service manager that started this process
// (sd_notify(3)). Where there is none it does nothing.
type service struct {
	address string // of the socket; empty: there is none
	passed  map[string]*os.File
	every   time.Duration // that it wants to hear from this process; 0: never
}

// newService reads what the service manager left in the environment.
func newService() *service {
	s := &service{address: os.Getenv("NOTIFY_SOCKET"), passed: map[string]*os.File{}}
	own := func(variable string) bool {
		pid := os.Getenv(variable)
		return pid == "" || pid == strconv.Itoa(os.Getpid())
	}
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 && own("WATCHDOG_PID") {
		s.every = time.Duration(usec) * time.Microsecond
	}
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || !own("LISTEN_PID") {
		return s
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range min(count, keptMost) {
		name := "unknown"
		if i < len(names) {
			name = names[i]
		}
		syscall.CloseOnExec(firstPassed + i)
		s.passed[name] = os.NewFile(uintptr(firstPassed+i), name)
	}
	return s
}

// managed reports whether a service manager started this process.
func (s *service) managed() bool { return s.address != "" }

// tell sends a state, such as "READY=1", with a descriptor when file is not
// nil.
func (s *service) tell(ctx context.Context, state string, file *os.File) error {
	if !s.managed() {
		return nil
	}
	// Go writes the leading @ of an abstract address as the kernel wants it.
	var d net.Dialer
	c, err := d.DialContext(ctx, "unixgram", s.address)
	if err != nil {
		return fmt.Errorf("guard: service manager: %w", err)
	}
	unix := c.(*net.UnixConn)
	if file == nil {
		_, err = unix.Write([]byte(state))
	} else {
		err = sendRights(unix, []byte(state), file)
	}
	if err := errors.Join(err, unix.Close()); err != nil {
		return fmt.Errorf("guard: service manager: %w", err)
	}
	return nil
}

// sendRights is withRights for a socket of datagrams that is connected.
func sendRights(to *net.UnixConn, data []byte, file *os.File) error {
	from, err := file.SyscallConn()
	if err != nil {
		return err
	}
	raw, err := to.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	passing := from.Control(func(fd uintptr) {
		err = raw.Write(func(socket uintptr) bool {
			sent = syscall.Sendmsg(int(socket), data, syscall.UnixRights(int(fd)), nil, 0)
			return !errors.Is(sent, syscall.EAGAIN)
		})
	})
	return errors.Join(passing, err, sent)
}

// storeSafe keeps descriptors in the service manager's store.
type storeSafe struct {
	to *service
}

// take implements safe.
func (s storeSafe) take(_ context.Context, name string) (*os.File, error) {
	file := s.to.passed[name]
	delete(s.to.passed, name)
	return file, nil
}

// keep implements safe. One that was kept under this name before is given up
// first.
func (s storeSafe) keep(ctx context.Context, name string, file *os.File) error {
	defer func() { _ = file.Close() }() // the store has its own
	if err := s.to.tell(ctx, "FDSTOREREMOVE=1\nFDNAME="+name, nil); err != nil {
		return err
	}
	// FDPOLL=0: an error on the socket must not make the store let go of it.
	return s.to.tell(ctx, "FDSTORE=1\nFDPOLL=0\nFDNAME="+name, file)
}

// tend implements safe.
func (storeSafe) tend(context.Context) error { return nil }

// forget implements safe. What stays there for an error is closed with the
// unit.
func (s storeSafe) forget(names ...string) {
	for _, name := range names {
		_ = s.to.tell(context.Background(), "FDSTOREREMOVE=1\nFDNAME="+name, nil)
	}
}
