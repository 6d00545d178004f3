package relay

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// handPatience is how long a plugin may take to receive a connection. Ours: it reads its control socket at once, so
// one that has not done so after this time is stopped or at its limits.
const handPatience = 250 * time.Millisecond

// accept is given every connection that the component's port has accepted. It returns when the connection has been
// handed over or refused, and waits while there is no plugin.
func (r *Relay) accept(c *net.TCPConn, iface string) {
	r.counts.accepted.Add(1)
	if !r.enter() {
		cut(c)
		return
	}
	defer r.leave()
	remote := addrPort(c.RemoteAddr())
	if !r.allowed(remote.Addr()) {
		r.turnAway(c, RefusedAllowFrom, remote)
		return
	}
	if fileNumber(c) >= r.maxFile {
		r.turnAway(c, RefusedFileLimit, remote)
		return
	}
	if reason := r.take(); reason != "" {
		r.turnAway(c, reason, remote)
		return
	}
	m := &proto.Control{Kind: &proto.Control_Connection{Connection: &proto.Connection{
		Remote: remote.String(), Local: addrPort(c.LocalAddr()).String(), Interface: iface,
	}}}
	for {
		s, _, err := r.tcp.wait(r.ctx)
		if err != nil {
			r.give()
			r.turnAway(c, RefusedClosing, remote)
			return
		}
		reason, handed := s.hand(c, m)
		if handed {
			return
		}
		if reason != "" {
			r.give()
			r.turnAway(c, reason, remote)
			return
		}
		r.tcp.leave(s.control) // it has gone: wait for the next one, which finds the connection untouched
	}
}

// hand gives one connection to the plugin. A reason refuses it; neither means that the plugin has gone.
func (s *session) hand(c *net.TCPConn, m *proto.Control) (reason string, handed bool) {
	ours, theirs, err := control.StreamPair()
	if err != nil {
		return RefusedFileLimit, false
	}
	defer theirs.Close() //nolint:errcheck // the plugin has its own
	p, err := newPipe(s.relay, c, ours)
	if err == nil {
		err = s.control.Send(m, theirs, handPatience)
	}
	if err == nil && s.start(p) {
		return "", true
	}
	_ = ours.Close()
	if err == nil || gone(err) {
		return "", false
	}
	return RefusedPluginBusy, false // it does not read, or holds too many descriptors in flight (unix(7), ETOOMANYREFS)
}

// gone tells an error of a control socket whose other side has closed.
func gone(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.ENOTCONN) ||
		errors.Is(err, net.ErrClosed)
}

// take reserves a place for one connection, or says why there is none.
func (r *Relay) take() string {
	n := r.counts.open.Add(1)
	if most := r.grants.MaxConnections; most > 0 && n > int64(most) {
		r.give()
		return RefusedMaxConnections
	}
	return ""
}

func (r *Relay) give() { r.counts.open.Add(-1) }

func (r *Relay) turnAway(c *net.TCPConn, reason string, remote netip.AddrPort) {
	r.refused.add(reason, 1, "remote", remote.String())
	cut(c)
}

// cut resets a connection: the endpoint learns that nobody has taken what it sent.
func cut(c *net.TCPConn) {
	_ = c.SetLinger(0) // fails only on a closed connection
	_ = c.Close()
}

// fileNumber is the connection's descriptor. The kernel gives the lowest free number (open(2)), so it tells how many
// descriptors are in use.
func fileNumber(c *net.TCPConn) int {
	number := 0
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { number = int(fd) })
	}
	return number
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// hungUp tells whether both directions of a socket are over (poll(2), POLLHUP), or it has an error.
func hungUp(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd)}}
	_, _ = unix.Poll(set, 0)
	return set[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}
