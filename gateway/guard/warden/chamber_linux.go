package warden

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/internal/privilege"
)

// threadNamespace is the network namespace of the calling thread (proc(5)).
const threadNamespace = "/proc/thread-self/ns/net"

// chamber is a network namespace that holds nothing but monitoring points. One
// thread lives in it, and everything that is done there is done by that
// thread. A card goes back to the first namespace when this one ends, so it
// is kept outside this process as well.
type chamber struct {
	home *os.File // the namespace that interfaces come from, and go back to
	ns   *os.File
	work chan func()
	done chan struct{}
	wake map[int]bool // set up once they are fenced: they were up before
}

// openChamber enters the namespace that was kept, or makes a new one. It takes
// CAP_SYS_ADMIN for that moment, and takes kept over.
func openChamber(kept *os.File) (*chamber, error) {
	home, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("guard: isolate: %w", err)
	}
	c := &chamber{home: home, work: make(chan func()), done: make(chan struct{}), wake: map[int]bool{}}
	entered := make(chan error)
	go func() {
		defer close(c.done)
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		if err := c.enter(kept); err != nil {
			entered <- err
			return
		}
		entered <- nil
		for f := range c.work {
			f()
		}
	}()
	if err := <-entered; err != nil {
		<-c.done
		return nil, errors.Join(fmt.Errorf("guard: isolate: %w", err), home.Close())
	}
	return c, nil
}

// enter runs on the thread.
func (c *chamber) enter(kept *os.File) error {
	lower, err := privilege.Raise(privilege.SysAdmin)
	if err != nil {
		return fmt.Errorf("%w: start the warden with --isolate", err)
	}
	if kept == nil {
		err = unix.Unshare(unix.CLONE_NEWNET)
	} else {
		err = unix.Setns(int(kept.Fd()), unix.CLONE_NEWNET)
	}
	if err := errors.Join(err, lower()); err != nil {
		return err
	}
	if kept == nil {
		if err := still(); err != nil {
			return err
		}
	}
	c.ns, err = os.Open(threadNamespace)
	return err
}

// still sets what every interface has that comes into a new namespace. It is
// down then, and fenced before it is set up.
func still() error {
	for _, setting := range [][2]string{
		{"ipv6/conf/default/disable_ipv6", "1"},
		{"ipv6/conf/all/disable_ipv6", "1"},
		{"ipv4/conf/default/arp_ignore", "8"},
		{"ipv4/conf/default/arp_announce", "2"},
		{"ipv4/conf/default/rp_filter", "1"},
		{"ipv4/ip_forward", "0"},
	} {
		// /proc/sys/net shows the namespace of the thread that opens it.
		err := os.WriteFile("/proc/sys/net/"+setting[0], []byte(setting[1]), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	return nil
}

// do runs f in the namespace.
func (c *chamber) do(f func() error) error {
	out := make(chan error, 1)
	c.work <- func() { out <- f() }
	return <-out
}

// close lets go of the namespace.
func (c *chamber) close() error {
	close(c.work)
	<-c.done
	return errors.Join(c.ns.Close(), c.home.Close())
}

// decisions are the interfaces in it, monitoring points all of them.
func (c *chamber) decisions() ([]guard.Decision, error) {
	var out []guard.Decision
	err := c.do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			a := l.Attrs()
			if a.Flags&net.FlagLoopback != 0 {
				continue
			}
			out = append(out, guard.Decision{
				Index: a.Index, Name: a.Name, MAC: a.HardwareAddr.String(), Kind: l.Type(),
				Up: a.Flags&net.FlagUp != 0, Role: guard.Monitoring, Reason: isolatedReason,
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("guard: isolate: list interfaces: %w", err)
	}
	return out, nil
}

// take moves an interface in. It is set down before, and up again when
// whatever must stand before it stands.
func (c *chamber) take(d guard.Decision) error {
	link, err := netlink.LinkByIndex(d.Index)
	if err == nil {
		err = netlink.LinkSetDown(link)
	}
	if err == nil {
		err = netlink.LinkSetNsFd(link, int(c.ns.Fd()))
	}
	if err != nil {
		return fmt.Errorf("guard: isolate %s: %w", d.Name, err)
	}
	if d.Up {
		c.wake[d.Index] = true
	}
	return nil
}

// rouse sets up what take has set down.
func (c *chamber) rouse() error {
	var errs []error
	for index := range c.wake {
		if err := c.do(func() error { return kernelLinks{}.Up(index) }); err != nil {
			errs = append(errs, err)
		}
		delete(c.wake, index)
	}
	return errors.Join(errs...)
}

// empty gives everything back, down, and returns what was up.
func (c *chamber) empty() (up []int, err error) {
	inside, err := c.decisions()
	if err != nil {
		return nil, err
	}
	for _, d := range inside {
		err = errors.Join(err, c.do(func() error {
			link, err := netlink.LinkByIndex(d.Index)
			if err == nil {
				err = netlink.LinkSetDown(link)
			}
			if err == nil {
				err = netlink.LinkSetNsFd(link, int(c.home.Fd()))
			}
			return err
		}))
		if d.Up {
			up = append(up, d.Index)
		}
	}
	return up, err
}
