package matrix_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cilium/ebpf"
)

func goUp(c *cell) error {
	c.up()
	c.rest(idle)
	return nil
}

func flap(c *cell) error {
	for range 5 {
		c.up()
		c.rest(100 * time.Millisecond)
		c.at.IP("link", "set", c.iface, "down")
	}
	c.up()
	c.rest(idle / 2)
	return nil
}

// bridge enslaves the interface to a bridge that says hello every second.
func bridge(c *cell) error {
	err := c.node.TryBatch(
		"link add br0 type bridge stp_state 1 hello_time 100 forward_delay 200",
		"link set "+c.iface+" master br0",
		"link set br0 up",
	)
	c.rest(helloes)
	return err
}

// child stacks another interface on it and sends from there.
func child(kind, options string) func(c *cell) error {
	return func(c *cell) error {
		c.Helper()
		err := c.node.TryBatch(fmt.Sprintf("link add link %s name kid0 type %s %s", c.iface, kind, options), "link set kid0 up")
		if err != nil && (strings.Contains(err.Error(), "Unknown device type") || strings.Contains(err.Error(), "not supported")) {
			return fmt.Errorf("this kernel has no %s interfaces", kind)
		}
		if err == nil {
			_, err = c.node.Inject("kid0", false, marks(stimulusMark, 5)...)
		}
		c.tolerate(err)
		c.rest(settle)
		return nil
	}
}

// tolerate notes what did not work: a defence may have been the reason.
func (c *cell) tolerate(err error) {
	c.Helper()
	if err != nil {
		c.Logf("refused: %v", err)
	}
}

func renamed(c *cell) error {
	if err := c.node.TryBatch("link set " + c.iface + " name ren0"); err != nil { // before Linux 6.2 only while down
		c.node.Batch("link set "+c.iface+" down", "link set "+c.iface+" name ren0", "link set ren0 up")
	}
	c.iface = "ren0"
	c.packets()
	return nil
}

// recreated deletes the interface; its like comes back under the same name and
// is set up at once.
func recreated(c *cell) error {
	c.node.IP("link", "delete", c.iface)
	c.cable()
	c.up()
	c.packets()
	return nil
}

// succeeded deletes the interface; later another one, which is up, takes its
// name.
func succeeded(c *cell) error {
	c.node.IP("link", "delete", c.iface)
	c.rest(settle)
	c.cableAs("tmp0")
	c.node.Sysctl("net.ipv6.conf.tmp0.disable_ipv6", "1") // nobody guards it yet
	c.node.IP("link", "set", "tmp0", "up")
	c.rest(settle)
	c.node.IP("link", "set", "tmp0", "name", guarded)
	c.packets()
	return nil
}

func flushed(c *cell) error {
	c.tolerate(c.run("nft", "flush", "ruleset"))
	c.packets()
	return nil
}

func qdiscDeleted(c *cell) error {
	c.tolerate(c.run("tc", "qdisc", "delete", "dev", c.iface, "clsact"))
	c.packets()
	return nil
}

// run runs a command in the node; a defence may make it fail.
func (c *cell) run(name string, args ...string) error {
	out, err := c.node.Command(c.Context(), name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// moved moves the interface into another namespace and uses it there.
func (c *cell) moved(to string) {
	c.Helper()
	c.rest(settle) // so that it is known to be up
	there := c.lab.Namespace(to)
	if to == "prepared" {
		there.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
		there.Nft(dropsByNft)
	}
	c.node.IP("link", "set", c.iface, "netns", there.Name)
	c.at = there
	c.up()
	c.packets()
	c.rest(idle / 2)
}

func movedFresh(c *cell) error    { c.moved("fresh"); return nil }
func movedPrepared(c *cell) error { c.moved("prepared"); return nil }

// filterBefore puts a filter before every other that lets everything pass.
func filterBefore(c *cell) error {
	_ = c.run("tc", "qdisc", "add", "dev", c.iface, "clsact") // it may be there
	c.tolerate(c.run("tc", words("filter add dev %s egress pref 1 bpf da bytecode 1,6_0_0_0", c.iface)...))
	c.packets()
	return nil
}

// mirred sends what would leave by the other interface out by this one.
func mirred(c *cell) error {
	if err := c.redirect(); err != nil {
		return err
	}
	_, err := c.node.Inject(service, false, marks(stimulusMark, 5)...)
	c.tolerate(err)
	c.rest(settle)
	return nil
}

// mirredPastTCX redirects past nftables, and lets a program pass it on before
// the tc filter.
func mirredPastTCX(c *cell) error {
	if err := c.redirect(); err != nil {
		return err
	}
	if err := c.attach(c.at, c.iface, ebpf.SchedCLS, tcxPass); err != nil {
		return err
	}
	_, err := c.node.Inject(service, false, marks(stimulusMark, 5)...)
	c.tolerate(err)
	c.rest(settle)
	return nil
}

func (c *cell) redirect() error {
	return errors.Join(c.run("tc", "qdisc", "add", "dev", service, "clsact"),
		c.run("tc", words("filter add dev %s egress bpf bytecode 1,6_0_0_4294967295 action mirred egress redirect dev %s", service, c.iface)...))
}

// forwarded does the same by nftables.
func forwarded(c *cell) error {
	c.node.Nft(`
table netdev elsewhere {
	chain out {
		type filter hook egress device "` + service + `" priority 0
		fwd to "` + c.iface + `"
	}
}
`)
	_, err := c.node.Inject(service, false, marks(stimulusMark, 5)...)
	c.tolerate(err)
	c.rest(settle)
	return nil
}

// undone turns every quiet setting back.
func undone(c *cell) error {
	c.node.IP("link", "set", c.iface, "arp", "on", "multicast", "on")
	for name, value := range map[string]string{
		"ipv6.conf.%s.disable_ipv6": "0", "ipv4.conf.%s.arp_ignore": "0",
		"ipv4.conf.%s.arp_announce": "0", "ipv4.conf.%s.rp_filter": "0",
	} {
		c.node.Sysctl("net."+fmt.Sprintf(name, c.iface), value)
	}
	return scanAddressed(c)
}
