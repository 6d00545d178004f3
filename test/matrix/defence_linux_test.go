package matrix_test

import (
	"fmt"
	"net"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// The columns of the emission table.
const (
	nothing = "nothing"
	usual   = "usual"
	nftOnly = "nft"
	tcOnly  = "tc"
	all     = "all"
)

// openPort is open on every address of the node, by an ordinary socket: with
// it the node has something to answer.
const openPort = 5140

// defence is what stands before the guarded interface.
type defence interface {
	// tripped says why the guard has set the interface down, if it has.
	tripped() (cause string, yes bool)
	// restored lists what the guard set right again.
	restored() []string
	// end takes it away.
	end()
}

// defend puts a defence before the interface, which is down.
func (c *cell) defend(column string, p guard.Policy) {
	c.Helper()
	c.defence = plain{}
	switch column {
	case usual:
		c.quiet()
	case nftOnly:
		c.node.Nft(dropsByNft)
	case tcOnly:
		c.dropByTC()
	case all:
		c.defence = c.warden(p)
	}
}

// plain is a defence that nobody watches.
type plain struct{}

func (plain) tripped() (string, bool) { return "", false }
func (plain) restored() []string      { return nil }
func (plain) end()                    {}

// dropsByNft is the nftables half of the defence.
const dropsByNft = `
table netdev drops {
	chain in {
		type filter hook ingress device "` + guarded + `" priority -500
		drop
	}
	chain out {
		type filter hook egress device "` + guarded + `" priority -500
		drop
	}
}
`

// dropByTC is the other half: a filter of one instruction that returns
// TC_ACT_SHOT.
func (c *cell) dropByTC() {
	c.Helper()
	c.node.Run("tc", "qdisc", "add", "dev", guarded, "clsact")
	for _, side := range []string{"ingress", "egress"} {
		c.node.Run("tc", words("filter add dev %s %s bpf da bytecode 1,6_0_0_2", guarded, side)...)
	}
}

// quiet applies the settings that are usual for the sensor of an intrusion
// detection system.
func (c *cell) quiet() {
	c.Helper()
	c.node.IP("link", "set", guarded, "arp", "off", "multicast", "off", "promisc", "on", "addrgenmode", "none")
	for name, value := range map[string]string{
		"ipv6.conf.%s.disable_ipv6": "1", "ipv4.conf.%s.arp_ignore": "8",
		"ipv4.conf.%s.arp_announce": "2", "ipv4.conf.%s.rp_filter": "1",
	} {
		c.node.Sysctl("net."+fmt.Sprintf(name, guarded), value)
	}
}

// listen opens a port on every address of the node.
func (c *cell) listen() {
	c.Helper()
	var closers []interface{ Close() error }
	err := c.node.Do(func() error {
		tcp, err := (&net.ListenConfig{}).Listen(c.Context(), "tcp", fmt.Sprintf(":%d", openPort))
		if err != nil {
			return nil // it listens already
		}
		closers = append(closers, tcp)
		return nil
	})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		for _, l := range closers {
			_ = l.Close()
		}
	})
}
