package guard

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// examined prints facts one a line: what is right by its name alone.
func examined(facts []Fact) string {
	var b strings.Builder
	for _, f := range facts {
		if f.State == FactOK {
			fmt.Fprintf(&b, "%s ok\n", f.Name)
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s -> %s\n", f.Name, f.State, f.Value, f.Remedy)
	}
	return b.String()
}

// sound is a machine with nothing wrong on either end.
func sound() (*fakeKernel, link) {
	k, l := newFake(), ethernet(2, "eno2")
	l.addrs = []netip.Prefix{netip.MustParsePrefix("10.99.0.1/24"), netip.MustParsePrefix("10.99.0.2/24"), netip.MustParsePrefix("fd99::2/64")}
	l.noARP, l.txQueue = true, 1000
	k.table[tableKey{2, farEnd.Addr()}] = neighbour{farMAC().String(), true}
	k.routes[netip.MustParseAddr("10.99.0.1")] = 2
	k.dev = device{
		features: map[string]bool{"tx-checksum-ip-generic": true, "tx-udp-segmentation": true, "rx-gro": true},
		rxRing:   4096, rxRingMax: 4096, txRing: 512, txRingMax: 4096,
	}
	k.seen = traffic{total: 10, ours: 2}
	k.files = map[string]string{
		"/proc/sys/net/core/wmem_max":               "212992\n",
		"/proc/sys/net/core/rmem_max":               "67108864\n",
		"/proc/sys/net/core/netdev_max_backlog":     "1000\n",
		"/proc/sys/net/ipv4/conf/all/rp_filter":     "1\n",
		"/proc/sys/net/ipv4/conf/eno2/rp_filter":    "0\n",
		"/proc/sys/net/ipv6/conf/eno2/disable_ipv6": "0\n",
		"/proc/sys/kernel/osrelease":                "6.12.0-debian\n",
		"/proc/self/status":                         "Name:\tsluice\nCapEff:\t0000000000000000\n",
		"/proc/net/softnet_stat":                    "00e42c05 00000000 00000002 00000000\n00af7820 00000000 00000003 00000000\n",
		"/proc/net/udp":                             udpTable + udpLine("0200630A:1680", 0) + udpLine("00000000:1681", 99),
		"/proc/net/udp6":                            udpTable + udpLine("00000000000000000000000000000000:1680", 0),
	}
	return k, l
}

const udpTable = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

func udpLine(local string, drops int) string {
	return fmt.Sprintf("  1: %s 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 %d\n", local, drops)
}

const (
	allRightSend    = "interface ok\ncarrier ok\nmtu ok\nsource ok\nneighbour ok\narp ok\ntransmit queue ok\ntransmit ring ok\nsegmentation ok\nsend memory ok\n"
	allRightSocket  = "interface ok\ncarrier ok\nmtu ok\naddress ok\nreverse path ok\nreceive memory ok\nsocket drops ok\narp ok\nreceive ring ok\nmerging ok\nbacklog ok\nsoftnet drops ok\nframes ok\n"
	allRightSocket6 = "interface ok\ncarrier ok\nmtu ok\naddress ok\nipv6 ok\nreceive memory ok\nsocket drops ok\narp ok\nreceive ring ok\nmerging ok\nbacklog ok\nsoftnet drops ok\nframes ok\n"
	allRightCapture = "interface ok\ncarrier ok\nmtu ok\naddress ok\narp ok\nreceive ring ok\nmerging ok\nbacklog ok\nsoftnet drops ok\nframes ok\n"
)

func sendQuery() DiodeQuery {
	return DiodeQuery{Interface: "eno2", Source: netip.MustParseAddr("10.99.0.1"), Address: farEnd, MAC: farMAC(), MTU: 1500}
}

func receiveQuery() DiodeQuery {
	return DiodeQuery{Receive: true, Interface: "eno2", Source: netip.MustParseAddr("10.99.0.1"), Address: farEnd, MTU: 1500, Buffer: 64 << 20}
}

func captureQuery() DiodeQuery {
	q := receiveQuery()
	q.Capture = true
	return q
}

// TestFacts breaks one thing at a time and wants to read of that alone.
func TestFacts(t *testing.T) {
	file := func(path, text string) func(*fakeKernel, *link, *DiodeQuery) {
		return func(k *fakeKernel, _ *link, _ *DiodeQuery) { k.files[path] = text }
	}
	for _, c := range []struct {
		name  string
		q     DiodeQuery
		right string // the facts when nothing is wrong
		spoil func(k *fakeKernel, l *link, q *DiodeQuery)
		keep  bool   // the addresses, also when capturing
		want  string // the fact that is different then; "" = none
	}{
		{name: "send", q: sendQuery(), right: allRightSend},
		{name: "socket", q: receiveQuery(), right: allRightSocket},
		{name: "capture", q: captureQuery(), right: allRightCapture},
		{name: "socket, ipv6", q: receiveQuery(), right: allRightSocket6, spoil: func(_ *fakeKernel, _ *link, q *DiodeQuery) {
			q.Source, q.Address = netip.MustParseAddr("fd99::1"), netip.MustParseAddrPort("[fd99::2]:5760")
		}},
		{
			name: "down", q: sendQuery(), right: allRightSend,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.up = false },
			want:  "carrier bad: eno2 is down -> set it up: ip link set eno2 up",
		},
		{
			name: "no carrier", q: sendQuery(), right: allRightSend,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.carrier = false },
			want:  "carrier bad: eno2 has no carrier -> plug the cable, or configure the media converter to keep its light on without a return fibre",
		},
		{
			name: "no light", q: captureQuery(), right: allRightCapture,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.carrier = false },
			want:  "carrier bad: eno2 has no carrier -> plug the cable; no light arrives when the sender is off or its transmit fibre is not on this port's receiver",
		},
		{
			name: "mtu", q: captureQuery(), right: allRightCapture,
			spoil: func(_ *fakeKernel, _ *link, q *DiodeQuery) { q.MTU = 9000 },
			want:  "mtu bad: 1500, below the link's mtu of 9000 -> ip link set eno2 mtu 9000, or set the link's mtu to 1500 on both sides",
		},
		{
			name: "source", q: sendQuery(), right: allRightSend,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.addrs = nil },
			want:  "source bad: eno2 does not have 10.99.0.1 -> ip address add 10.99.0.1 dev eno2 with the length of its network, or correct source",
		},
		{
			name: "address", q: receiveQuery(), right: allRightSocket,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.addrs = nil },
			want:  `address bad: eno2 does not have 10.99.0.2 -> ip address add 10.99.0.2 dev eno2 with the length of its network, correct listen, or set capture = "packet"`,
		},
		{
			name: "address that is not needed", q: captureQuery(), right: allRightCapture, keep: true,
			want: "address warn: eno2 has 10.99.0.1: the kernel may speak by it, and capturing needs no address -> " +
				"sysctl -w net.ipv6.conf.eno2.disable_ipv6=1, and: ip address flush dev eno2",
		},
		{
			name: "answers", q: receiveQuery(), right: allRightSocket,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.noARP = false },
			want:  "arp warn: on: answers about addresses may leave by eno2 -> ip link set eno2 arp off",
		},
		{
			name: "no entry", q: sendQuery(), right: allRightSend,
			spoil: func(k *fakeKernel, _ *link, q *DiodeQuery) { q.MAC = nil; k.flush() },
			want: "neighbour bad: no entry for 10.99.0.2, and over a one-way link nobody answers a question for it -> " +
				"set destination_mac, or: ip neighbour replace 10.99.0.2 lladdr MAC dev eno2 nud permanent",
		},
		{
			name: "wrong entry", q: sendQuery(), right: allRightSend,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
				k.table[tableKey{2, farEnd.Addr()}] = neighbour{"02:00:00:00:00:aa", true}
			},
			want: "neighbour bad: 10.99.0.2 is at 02:00:00:00:00:aa, not at 02:00:5e:10:00:02 -> start the guard's warden, or let Sluice have CAP_NET_ADMIN: either makes the entry; the interface must be up",
		},
		{
			name: "entry that ages", q: sendQuery(), right: allRightSend,
			spoil: func(k *fakeKernel, _ *link, q *DiodeQuery) {
				q.MAC, k.table[tableKey{2, farEnd.Addr()}] = nil, neighbour{"02:00:00:00:00:aa", false}
			},
			want: "neighbour bad: 10.99.0.2 is at 02:00:00:00:00:aa, but the entry will age and nobody will confirm it -> " +
				"set destination_mac, or: ip neighbour replace 10.99.0.2 lladdr MAC dev eno2 nud permanent",
		},
		{
			name: "arp", q: sendQuery(), right: allRightSend,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.noARP = false },
			want:  "arp warn: on: questions about addresses may leave by eno2 -> ip link set eno2 arp off",
		},
		{
			name: "short queue", q: sendQuery(), right: allRightSend,
			spoil: func(_ *fakeKernel, l *link, _ *DiodeQuery) { l.txQueue = 10 },
			want:  "transmit queue warn: 10 frames -> ip link set eno2 txqueuelen 1000",
		},
		{name: "software segmentation", q: sendQuery(), right: allRightSend, spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
			k.dev.features["tx-udp-segmentation"] = false
		}},
		{
			name: "no checksum offload", q: sendQuery(), right: allRightSend,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) { clear(k.dev.features) },
			want:  "segmentation warn: checksum offload is off: bursts may be refused, and frames then leave one by one at about three times the cost -> ethtool -K eno2 tx on, if the card can",
		},
		{
			name: "send memory", q: sendQuery(), right: allRightSend, spoil: file("/proc/sys/net/core/wmem_max", "4096\n"),
			want: "send memory warn: net.core.wmem_max 4096 bytes -> sysctl -w net.core.wmem_max=212992",
		},
		{
			name: "receive ring", q: captureQuery(), right: allRightCapture,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) { k.dev.rxRing = 512 },
			want:  "receive ring warn: 512 of 4096 frames -> ethtool -G eno2 rx 4096",
		},
		{name: "virtual", q: captureQuery(), right: allRightCapture, spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
			k.dev.rxRing, k.dev.rxRingMax = 0, 0
		}},
		{
			name: "strict filter", q: receiveQuery(), right: allRightSocket,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) { clear(k.routes) },
			want: "reverse path bad: rp_filter is strict, and the route to 10.99.0.1 does not leave by eno2: what comes from there is dropped -> " +
				"ip route add 10.99.0.1 dev eno2, or sysctl -w net.ipv4.conf.eno2.rp_filter=2",
		},
		{name: "loose filter", q: receiveQuery(), right: allRightSocket, spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
			clear(k.routes)
			k.files["/proc/sys/net/ipv4/conf/eno2/rp_filter"] = "2\n"
		}},
		{
			name: "ipv6 off", q: receiveQuery(), right: allRightSocket6, spoil: func(k *fakeKernel, _ *link, q *DiodeQuery) {
				q.Source, q.Address = netip.MustParseAddr("fd99::1"), netip.MustParseAddrPort("[fd99::2]:5760")
				k.files["/proc/sys/net/ipv6/conf/eno2/disable_ipv6"] = "1\n"
			},
			want: "ipv6 bad: switched off on eno2 -> sysctl -w net.ipv6.conf.eno2.disable_ipv6=0",
		},
		{
			name: "receive memory", q: receiveQuery(), right: allRightSocket, spoil: file("/proc/sys/net/core/rmem_max", "212992\n"),
			want: "receive memory warn: net.core.rmem_max 212992 bytes; the link asks for 67108864 -> sysctl -w net.core.rmem_max=67108864, or let Sluice have CAP_NET_ADMIN",
		},
		{name: "receive memory by force", q: receiveQuery(), right: allRightSocket, spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
			k.files["/proc/sys/net/core/rmem_max"], k.files["/proc/self/status"] = "212992\n", "CapEff:\t0000000000001000\n"
		}},
		{
			name: "socket drops", q: receiveQuery(), right: allRightSocket, spoil: file("/proc/net/udp", udpTable+udpLine("0200630A:1680", 17)),
			want: "socket drops warn: 17 datagrams dropped since the socket was opened -> give the receiver a larger buffer and more CPU, or lower the link's rate",
		},
		{
			name: "no socket", q: receiveQuery(), right: allRightSocket, spoil: file("/proc/net/udp", udpTable),
			want: "socket drops warn: no socket is open on port 5760 -> start the node; when it runs, see the link's error in sluice status",
		},
		{
			name: "gro off", q: receiveQuery(), right: allRightSocket,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) { clear(k.dev.features) },
			want:  "merging warn: gro is off: each datagram costs a walk through the kernel, about three times as much -> ethtool -K eno2 gro on",
		},
		{name: "merged", q: captureQuery(), right: allRightCapture, spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
			k.dev.features["rx-udp-gro-forwarding"] = true
		}},
		{
			name: "merged beyond repair", q: captureQuery(), right: allRightCapture, spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
				k.dev.features["rx-gro-list"], k.files["/proc/sys/kernel/osrelease"] = true, "6.1.0-18-amd64\n"
			},
			want: "merging bad: datagrams are merged, and before Linux 6.3 a packet ring cannot tell them apart -> ethtool -K eno2 rx-udp-gro-forwarding off rx-gro-list off",
		},
		{
			name: "backlog", q: captureQuery(), right: allRightCapture, spoil: file("/proc/sys/net/core/netdev_max_backlog", "300\n"),
			want: "backlog warn: net.core.netdev_max_backlog 300 frames -> sysctl -w net.core.netdev_max_backlog=1000",
		},
		{
			name: "softnet drops", q: captureQuery(), right: allRightCapture, spoil: file("/proc/net/softnet_stat", "1 0000000a 0\n1 00000006 0\n"),
			want: "softnet drops warn: 16 frames since the machine started, of all interfaces -> sysctl -w net.core.netdev_max_backlog=10000, and give the receiver more CPU",
		},
		{
			name: "another mac", q: captureQuery(), right: allRightCapture,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
				k.seen = traffic{total: 9, otherMAC: tally{"02:00:00:00:00:aa": 8, "02:00:00:00:00:ab": 1}}
			},
			want: "frames bad: 8 frames arrive for 02:00:00:00:00:aa, this interface is 02:00:00:00:00:02 -> " +
				`set destination_mac = "02:00:00:00:00:02" on the sending side, or give the interface that address: ip link set eno2 address 02:00:00:00:00:aa`,
		},
		{
			name: "another source", q: captureQuery(), right: allRightCapture,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
				k.seen = traffic{total: 9, otherSource: tally{"192.0.2.1": 9}}
			},
			want: "frames bad: 9 frames to port 5760 come from 192.0.2.1, not from 10.99.0.1 -> set source to what arrives; some diodes rewrite addresses",
		},
		{
			name: "another destination", q: captureQuery(), right: allRightCapture,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) {
				k.seen = traffic{total: 9, otherTarget: tally{"10.99.0.9": 9}}
			},
			want: "frames bad: 9 frames to port 5760 are for 10.99.0.9, not for 10.99.0.2 -> correct destination on the sending side, or listen on this one",
		},
		{
			name: "something else", q: captureQuery(), right: allRightCapture,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) { k.seen = traffic{total: 9} },
			want:  "frames bad: 9 frames arrive, none of them UDP to port 5760 -> compare destination and listen; see on the sending side whether the link sends",
		},
		{
			name: "nothing", q: captureQuery(), right: allRightCapture,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) { k.seen = traffic{} },
			want:  "frames bad: no frame at all arrives -> see on the sending side whether the link sends, and follow the cable",
		},
		{
			name: "may not watch", q: captureQuery(), right: allRightCapture,
			spoil: func(k *fakeKernel, _ *link, _ *DiodeQuery) { k.noWatcher = errFake },
			want:  "frames warn: not looked at: fake: refused -> start the guard's warden, or let Sluice have CAP_NET_RAW while it examines",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, l := sound()
			if c.spoil != nil {
				c.spoil(k, &l, &c.q)
			}
			if c.q.Capture && !c.keep {
				l.addrs = nil
			}
			k.links = []link{l}
			p := Policy{DiodeTX: []string{"eno2"}}
			if c.q.Receive {
				p = Policy{DiodeRX: []string{"eno2"}}
			}
			got := examined(fakeGuard(t, k, p).DiodeFacts(t.Context(), c.q))
			want := c.right
			if name, _, ok := strings.Cut(c.want, " bad: "); ok {
				want = strings.Replace(want, name+" ok", c.want, 1)
			} else if name, _, ok := strings.Cut(c.want, " warn: "); ok {
				want = strings.Replace(want, name+" ok", c.want, 1)
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestFactsWithoutAnInterface(t *testing.T) {
	k, l := sound()
	k.links = []link{l, ethernet(3, "eno3")}
	g := fakeGuard(t, k, Policy{DiodeTX: []string{"eno2"}})
	q := sendQuery()
	q.Interface = "eno9"
	want := `interface bad: "eno9" matches 0 interfaces -> plug it in, or name one of: eno2 (device)`
	if got := examined(g.DiodeFacts(t.Context(), q)); !strings.HasPrefix(got, want[:60]) || strings.Count(got, "\n") != 1 {
		t.Errorf("got %s", got)
	}
	q.Interface = "eno3"
	if got := examined(g.DiodeFacts(t.Context(), q)); !strings.HasPrefix(got, "interface bad: guard: refused on eno3 (service: ") {
		t.Errorf("got %s", got)
	}
	k.setFail(errFake)
	if got := examined(g.DiodeFacts(t.Context(), q)); got != "interface bad: fake: refused -> see the kernel's log\n" {
		t.Errorf("got %s", got)
	}
}

// TestFactsOfAMachineThatTellsNothing: every file and answer is missing, and
// each is said.
func TestFactsOfAMachineThatTellsNothing(t *testing.T) {
	for _, q := range []DiodeQuery{sendQuery(), receiveQuery(), captureQuery()} {
		k, l := sound()
		k.files, k.noDevice, k.noWatcher, k.links = nil, errFake, errFake, []link{l}
		facts := fakeGuard(t, k, Policy{DiodeTX: []string{"eno2"}}).DiodeFacts(t.Context(), q)
		bad := slices.DeleteFunc(facts, func(f Fact) bool { return f.State == FactOK })
		for _, f := range bad {
			if f.Value == "" || f.Remedy == "" {
				t.Errorf("%+v says too little", f)
			}
		}
		if len(bad) < 2 {
			t.Errorf("%+v", bad)
		}
	}
}

func TestTraffic(t *testing.T) {
	const near, far, near6, far6 = "10.99.0.1:4000", "10.99.0.2:5760", "[fd99::1]:4000", "[fd99::2]:5760"
	w4 := wanted{netip.MustParseAddr("10.99.0.1"), farEnd}
	w6 := wanted{netip.MustParseAddr("fd99::1"), netip.MustParseAddrPort(far6)}
	for _, c := range []struct {
		name     string
		from, to string
		tag      bool
		other    bool
		w        wanted
		want     string
	}{
		{"ours", near, far, false, false, w4, "1 1 [] [] []"},
		{"tagged", near, far, true, false, w4, "1 1 [] [] []"},
		{"ipv6", near6, far6, false, false, w6, "1 1 [] [] []"},
		{"any source", "192.0.2.1:1", far, false, false, wanted{listen: farEnd}, "1 1 [] [] []"},
		{"another machine", near, far, false, true, w4, "1 0 [02:00:00:00:00:02] [] []"},
		{"another source", "192.0.2.1:1", far, false, false, w4, "1 0 [] [192.0.2.1] []"},
		{"another destination", near, "10.99.0.3:5760", false, false, w4, "1 0 [] [] [10.99.0.3]"},
		{"another port", near, "10.99.0.2:9", false, false, w4, "1 0 [] [] []"},
		{"another version", near6, far6, false, false, w4, "1 0 [] [] []"},
	} {
		t.Run(c.name, func(t *testing.T) {
			frame := captureFrame(t, c.from, c.to, c.tag, nil)
			var seen traffic
			seen.take(frame, c.other, c.w)
			keys := func(t tally) []string { return slices.Sorted(maps.Keys(t)) }
			if got := fmt.Sprint(seen.total, seen.ours, keys(seen.otherMAC), keys(seen.otherSource), keys(seen.otherTarget)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			for size := range len(frame) {
				seen.take(frame[:size], c.other, c.w) // must not go wrong
			}
		})
	}
	var many tally
	for i := range 10 * maxTally {
		many.add(fmt.Sprint(i))
	}
	if len(many) != maxTally {
		t.Errorf("%d names are kept", len(many))
	}
}

// FuzzTraffic: any frame is counted once.
func FuzzTraffic(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(make([]byte, 60), true)
	f.Fuzz(func(t *testing.T, frame []byte, other bool) {
		var seen traffic
		seen.take(frame, other, wanted{listen: farEnd})
		_, a := seen.otherMAC.most()
		_, b := seen.otherSource.most()
		_, c := seen.otherTarget.most()
		if seen.total != 1 || seen.ours+a+b+c > 1 {
			t.Errorf("%+v", seen)
		}
	})
}
