package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/sheet"
)

const (
	linkPort    = 7400
	udpcastPort = 9000 // must be even; two ports are used, udp-sender(1)
	udpcastRate = "2000m"
	// rmemMax holds what a socket may ask for without privilege, socket(7). udp-receiver asks for no more than that.
	rmemMax = "/proc/sys/net/core/rmem_max"
)

// Before it starts without an answer, udp-sender sends so many greetings, so many milliseconds apart.
const (
	udpcastGreetings = 3
	udpcastInterval  = 100
)

// ours is the link with the settings of a row, at a rate.
func (l *lab) ours(x row, rate uint64, size int64) (contestant, error) {
	s := x.link
	args := func(verb, address string) ([]string, error) {
		state, err := os.MkdirTemp(l.dir, verb)
		if err != nil {
			return nil, err
		}
		a := []string{
			l.self, verb, "-address", address, "-state", state, "-report", l.reportFile(verb), "-size", strconv.FormatInt(size, 10),
			"-mtu", strconv.Itoa(x.mtu), "-rate", strconv.FormatUint(rate, 10), "-parity", fmt.Sprint(s.Parity),
			"-design-loss", fmt.Sprint(s.DesignLoss), "-interleave", strconv.Itoa(max(s.Interleave, 1)),
			"-events", strconv.Itoa(x.events), "-for", l.latencyFor.String(),
		}
		if l.profiles != "" {
			a = append(a, "-profile", filepath.Join(l.profiles, strings.ReplaceAll(x.name, " ", "-")+"."+verb+".pprof"))
		}
		return a, nil
	}
	to := fmt.Sprintf("%s:%d", x.path.toAddr, linkPort)
	send, err := args(verbSend, to)
	if err != nil {
		return contestant{}, err
	}
	receive, err := args(verbReceive, to)
	c := contestant{name: "sluice", send: send, receive: receive, port: linkPort, input: l.input, size: size, reports: true}
	if x.events > 0 {
		c.span = l.latencyFor + settleTime
	}
	return c, err
}

// udpcast is the yardstick of the rows: the best of the open peers. It neither seals nor delivers beyond the first
// block that it cannot repair.
func (l *lab) udpcast(x row) (contestant, bool) {
	sender, err := exec.LookPath("udp-sender")
	if err != nil || x.fec == "" {
		return contestant{}, false
	}
	port := strconv.Itoa(udpcastPort)
	to := x.path.toAddr.String()
	return contestant{
		name: "udpcast", port: udpcastPort, input: l.small, size: l.peerSize,
		send: []string{
			sender, "--async", "--nokbd", "--no-progress", "--interface", x.path.nearIf, "--portbase", port, "--fec", x.fec,
			"--max-bitrate", udpcastRate, "--mcast-rdv-address", to, "--mcast-data-address", to,
			"--autostart", strconv.Itoa(udpcastGreetings), "--rexmit-hello-interval", strconv.Itoa(udpcastInterval),
		},
		receive: []string{
			"udp-receiver", "--nokbd", "--no-progress", "--nosync", "--interface", x.path.farIf, "--portbase", port, "--rcvbuf", sheet.FirstLine(sheet.ReadFile(rmemMax)),
		},
	}, true
}

// guest is a further contestant, given by its command lines.
func (l *lab) guest(x row) (contestant, bool) {
	if l.peerSend == "" {
		return contestant{}, false
	}
	r := strings.NewReplacer("{to}", fmt.Sprintf("%s:%d", x.path.toAddr, l.peerPort), "{at}", fmt.Sprintf("%s:%d", x.path.toAddr, l.peerPort), "{mtu}", strconv.Itoa(x.mtu))
	return contestant{
		name: l.peerName, port: l.peerPort, input: l.small, size: l.peerSize, limit: l.peerLimit,
		send: strings.Fields(r.Replace(l.peerSend)), receive: strings.Fields(r.Replace(l.peerReceive)),
	}, true
}

// trialSpan is how long a trial of a rate lasts: longer than a 64 MiB receive buffer can hide that the far end is too
// slow by a fifth at 5 Gbit/s.
const trialSpan = 700 * time.Millisecond
