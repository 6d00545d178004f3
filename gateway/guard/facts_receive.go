package guard

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

const (
	// wantBacklog is the kernel's own default of net.core.netdev_max_backlog,
	// in frames.
	wantBacklog = 1000
	// moreBacklog is what to try when frames were dropped there. Ours: 100 ms
	// at 100,000 frames a second.
	moreBacklog = 10000
	// mergedMajor.mergedMinor is the first Linux that tells a packet ring of
	// what size the datagrams are that it has merged (commit 860b7f27b8f7).
	mergedMajor, mergedMinor = 6, 3
	// strictFilter is the value of rp_filter that drops what would not be
	// answered by the same interface (ip-sysctl).
	strictFilter = 1
)

func (e *exam) receive(ctx context.Context) {
	if e.q.Capture {
		e.noAddress()
	} else {
		e.address("address", e.q.Address.Addr(), fmt.Sprintf("ip address add %s dev %s with the length of its network, correct listen, or set capture = \"packet\"",
			e.q.Address.Addr(), e.link.name))
		e.reversePath()
		e.ipv6Off()
		e.receiveMemory()
		e.socketDrops()
	}
	e.arp("answers")
	if d, ok := e.device(); ok {
		e.rings(d)
		e.merging(d)
	}
	e.sysctlAtLeast("backlog", "net.core.netdev_max_backlog", wantBacklog, "frames")
	e.softnetDrops()
	e.watch(ctx)
}

// noAddress wants the interface that frames are captured on to have nothing
// that the kernel itself would speak with.
func (e *exam) noAddress() {
	if len(e.link.addrs) == 0 || e.link.loopback {
		e.ok("address", "none, and none is needed")
		return
	}
	e.warn("address", fmt.Sprintf("%s has %s: the kernel may speak by it, and capturing needs no address", e.link.name, e.link.addrs[0].Addr()),
		fmt.Sprintf("sysctl -w net.ipv6.conf.%s.disable_ipv6=1, and: ip address flush dev %s", e.link.name, e.link.name))
}

// reversePath finds the filter that drops everything without a word.
func (e *exam) reversePath() {
	source := e.q.Source.Unmap()
	if !source.Is4() || e.link.loopback {
		return
	}
	mode := 0
	for _, of := range []string{"all", e.link.name} {
		mode = max(mode, e.sysctlOr("net.ipv4.conf."+of+".rp_filter", 0))
	}
	by, err := e.g.kernel.Route(source)
	if mode != strictFilter || err == nil && by == e.link.index {
		e.ok("reverse path", fmt.Sprintf("rp_filter %d lets %s in", mode, source))
		return
	}
	e.bad("reverse path", fmt.Sprintf("rp_filter is strict, and the route to %s does not leave by %s: what comes from there is dropped", source, e.link.name),
		fmt.Sprintf("ip route add %s dev %s, or sysctl -w net.ipv4.conf.%s.rp_filter=2", source, e.link.name, e.link.name))
}

func (e *exam) ipv6Off() {
	if e.q.Address.Addr().Unmap().Is4() {
		return
	}
	name := "net.ipv6.conf." + e.link.name + ".disable_ipv6"
	if e.sysctlOr(name, 0) != 0 {
		e.bad("ipv6", "switched off on "+e.link.name, "sysctl -w "+name+"=0")
		return
	}
	e.ok("ipv6", "on")
}

// receiveMemory judges the bound of the socket's buffer, which CAP_NET_ADMIN
// lifts.
func (e *exam) receiveMemory() {
	most := e.sysctlOr("net.core.rmem_max", 0)
	switch {
	case most >= e.q.Buffer:
		e.ok("receive memory", fmt.Sprintf("net.core.rmem_max %d bytes; the link asks for %d", most, e.q.Buffer))
	case e.g.opener != nil:
		e.ok("receive memory", fmt.Sprintf("%d bytes by the guard's warden, above net.core.rmem_max", e.q.Buffer))
	case e.mayForce():
		e.ok("receive memory", fmt.Sprintf("%d bytes by CAP_NET_ADMIN, above net.core.rmem_max", e.q.Buffer))
	default:
		e.warn("receive memory", fmt.Sprintf("net.core.rmem_max %d bytes; the link asks for %d", most, e.q.Buffer),
			fmt.Sprintf("sysctl -w net.core.rmem_max=%d, or let Sluice have CAP_NET_ADMIN", e.q.Buffer))
	}
}

// mayForce reports whether this process has CAP_NET_ADMIN (proc(5), CapEff).
func (e *exam) mayForce() bool {
	const netAdmin = 12 // linux/capability.h
	status, err := e.g.prober.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), "CapEff:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return false
	}
	caps, err := strconv.ParseUint(fields[0], 16, 64)
	return err == nil && caps&(1<<netAdmin) != 0
}

// socketDrops reads what the sockets on our port have lost.
func (e *exam) socketDrops() {
	file := "/proc/net/udp"
	if !e.q.Address.Addr().Unmap().Is4() {
		file = "/proc/net/udp6"
	}
	table, err := e.g.prober.ReadFile(file)
	if err != nil {
		e.warn("socket drops", err.Error(), "mount /proc")
		return
	}
	sockets, drops := udpDrops(string(table), e.q.Address.Port())
	switch {
	case sockets == 0:
		e.warn("socket drops", fmt.Sprintf("no socket is open on port %d", e.q.Address.Port()), "start the node; when it runs, see the link's error in sluice status")
	case drops > 0:
		e.warn("socket drops", fmt.Sprintf("%d datagrams dropped since the socket was opened", drops),
			"give the receiver a larger buffer and more CPU, or lower the link's rate")
	default:
		e.ok("socket drops", "none")
	}
}

// udpDrops adds up the last column of the table (proc(5)) for one local port.
func udpDrops(table string, port uint16) (sockets int, drops uint64) {
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 13 || !strings.HasSuffix(f[1], suffix) {
			continue
		}
		n, err := strconv.ParseUint(f[len(f)-1], 10, 64)
		if err != nil {
			continue
		}
		sockets, drops = sockets+1, drops+n
	}
	return sockets, drops
}

// softnetDrops reads what the whole machine has lost between card and
// protocol (the second column, hexadecimal, per processor).
func (e *exam) softnetDrops() {
	table, err := e.g.prober.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		e.warn("softnet drops", err.Error(), "mount /proc")
		return
	}
	var drops uint64
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 1 {
			n, _ := strconv.ParseUint(f[1], 16, 64) // the kernel writes nothing else
			drops += n
		}
	}
	if drops > 0 {
		e.warn("softnet drops", fmt.Sprintf("%d frames since the machine started, of all interfaces", drops),
			fmt.Sprintf("sysctl -w net.core.netdev_max_backlog=%d, and give the receiver more CPU", moreBacklog))
		return
	}
	e.ok("softnet drops", "none")
}

// merging says whether the kernel hands over bursts, and whether that can be
// undone.
func (e *exam) merging(d device) {
	forwarded := d.features["rx-udp-gro-forwarding"] || d.features["rx-gro-list"]
	switch {
	case e.q.Capture && forwarded && !e.kernelAtLeast(mergedMajor, mergedMinor):
		e.bad("merging", "datagrams are merged, and before Linux 6.3 a packet ring cannot tell them apart",
			"ethtool -K "+e.link.name+" rx-udp-gro-forwarding off rx-gro-list off")
	case e.q.Capture:
		e.ok("merging", onOff(forwarded)+": a packet ring takes both")
	case !d.features["rx-gro"]:
		e.warn("merging", "gro is off: each datagram costs a walk through the kernel, about three times as much", "ethtool -K "+e.link.name+" gro on")
	default:
		e.ok("merging", "gro is on")
	}
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// kernelAtLeast is true when the version cannot be read: no alarm without a
// reason.
func (e *exam) kernelAtLeast(major, minor int) bool {
	text, err := e.g.prober.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return true
	}
	var a, b int
	if n, _ := fmt.Sscanf(string(text), "%d.%d", &a, &b); n != 2 {
		return true
	}
	return a > major || a == major && b >= minor
}

// watch looks at what arrives.
func (e *exam) watch(ctx context.Context) {
	d := e.q.Watch
	if d == 0 {
		d = defaultWatch
	}
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	seen, err := e.g.watcher.Watch(ctx, e.link.index, e.link.name, wanted{source: e.q.Source.Unmap(), listen: e.q.Address})
	if err != nil {
		e.warn("frames", "not looked at: "+err.Error(), "start the guard's warden, or let Sluice have CAP_NET_RAW while it examines")
		return
	}
	e.judge(seen)
}

func (e *exam) judge(seen traffic) {
	port := e.q.Address.Port()
	mac, macs := seen.otherMAC.most()
	source, sources := seen.otherSource.most()
	target, targets := seen.otherTarget.most()
	switch {
	case macs > 0 && seen.ours == 0:
		e.bad("frames", fmt.Sprintf("%d frames arrive for %s, this interface is %s", macs, mac, e.link.mac),
			fmt.Sprintf("set destination_mac = %q on the sending side, or give the interface that address: ip link set %s address %s", e.link.mac, e.link.name, mac))
	case sources > 0 && seen.ours == 0:
		e.bad("frames", fmt.Sprintf("%d frames to port %d come from %s, not from %s", sources, port, source, e.q.Source),
			"set source to what arrives; some diodes rewrite addresses")
	case targets > 0 && seen.ours == 0:
		e.bad("frames", fmt.Sprintf("%d frames to port %d are for %s, not for %s", targets, port, target, e.q.Address.Addr()),
			"correct destination on the sending side, or listen on this one")
	case seen.ours > 0:
		e.ok("frames", fmt.Sprintf("%d frames of the link in a short look", seen.ours))
	case seen.total > 0:
		e.bad("frames", fmt.Sprintf("%d frames arrive, none of them UDP to port %d", seen.total, port),
			"compare destination and listen; see on the sending side whether the link sends")
	default:
		e.bad("frames", "no frame at all arrives", "see on the sending side whether the link sends, and follow the cable")
	}
}
