package pluginhost

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
	"github.com/sluice-gateway/sluice/sdk"
)

// PluginToHost checks where the plugin says it listens: a unix socket in its own directory and nothing else.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("listens on %q, only unix sockets are allowed", network)
	}
	path := filepath.Clean(address)
	dir, err := p.socketDir()
	if err != nil {
		return "", "", err
	}
	if p.ground.has(sandbox.EmptyRoot) {
		dir = sandbox.SocketDir
	}
	if filepath.Dir(path) != dir {
		return "", "", fmt.Errorf("listens on %s, which is not in %s", excerpt(path), dir)
	}
	if p.ground.has(sandbox.EmptyRoot) {
		if p.sockets, err = p.errand.answer(); err != nil {
			return "", "", err
		}
	}
	p.socket = path
	return network, path, nil
}

// HostToPlugin is not used: nothing of ours listens for plugins.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

func (p *process) dialOptions() []grpc.DialOption {
	return append(sdk.DialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.dial(ctx) }))
}

// dial connects to the plugin and makes sure that it is the plugin that listens there.
func (p *process) dial(ctx context.Context) (net.Conn, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return nil, fmt.Errorf("plugin socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("plugin socket: unexpected %T", c)
	}
	if err := p.checkPeer(u); err != nil {
		_ = u.Close()
		return nil, err
	}
	return u, nil
}

// reach connects to the socket: by its path, or, as a plugin with an empty root has made it there, by the descriptor of
// the directory. The kernel keeps that number ours while Control runs.
func (p *process) reach(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	if p.sockets == nil {
		return d.DialContext(ctx, "unix", p.socket)
	}
	raw, err := p.sockets.SyscallConn()
	if err != nil {
		return nil, err
	}
	var c net.Conn
	var derr error
	err = raw.Control(func(fd uintptr) {
		c, derr = d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", fd, filepath.Base(p.socket)))
	})
	if err == nil {
		err = derr
	}
	return c, err
}

// checkPeer compares the process that listens (unix(7), SO_PEERCRED) with the one that was started.
func (p *process) checkPeer(u *net.UnixConn) error {
	raw, err := u.SyscallConn()
	if err != nil {
		return fmt.Errorf("plugin socket: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return fmt.Errorf("plugin socket: peer: %w", err)
	}
	if int(cred.Pid) != p.pidOf() {
		return fmt.Errorf("plugin socket: process %d listens there, the plugin is %d", cred.Pid, p.pidOf())
	}
	return nil
}

func (p *process) pidOf() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}
