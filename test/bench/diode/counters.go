package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/procs"
)

// kernelCounts are counters of the kernel that belong to a run.
type kernelCounts struct {
	sent  uint64        // bytes that left the near interface, as it counts them
	count uint64        // packets that did
	drops uint64        // datagrams that found no room in a socket of the far namespace
	soft  time.Duration // CPU time of the ksoftirqd threads: it belongs to no process
}

// counters reads them. /proc/thread-self/net shows the namespace of the thread that looks.
func (l *lab) counters(p path) (c kernelCounts, err error) {
	err = errors.Join(
		l.near.Do(func() (err error) {
			c.sent, c.count, err = sent(p.nearIf)
			return err
		}),
		l.far.Do(func() (err error) {
			c.drops, err = socketDrops()
			return err
		}),
	)
	if err == nil {
		c.soft, err = softirqTime()
	}
	return c, err
}

// Fields of a line of /proc/net/dev, behind the name, proc_net(5).
const (
	devSent    = 8 // bytes
	devPackets = 9
)

// sent reads how many bytes and packets an interface of this namespace has sent.
func sent(iface string) (bytes, packets uint64, err error) {
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if strings.TrimSpace(name) != iface || len(fields) <= devPackets {
			continue
		}
		if bytes, err = strconv.ParseUint(fields[devSent], 10, 64); err != nil {
			return 0, 0, err
		}
		packets, err = strconv.ParseUint(fields[devPackets], 10, 64)
		return bytes, packets, err
	}
	return 0, 0, fmt.Errorf("no interface %s in /proc/net/dev", iface)
}

const (
	gaugePort   = 7398
	gaugeFrames = 32
	gaugeBytes  = 1000
	gaugeWire   = gaugeBytes + 8 + 20 + 14 // with the headers of UDP, IPv4 and Ethernet
)

// gauge finds out how many bytes of a packet the near interface does not count: a veth whose peer has GRO leaves the
// Ethernet header out.
func (l *lab) gauge(ctx context.Context, p path) (uint64, error) {
	before, err := l.counters(p)
	if err != nil {
		return 0, err
	}
	err = l.near.Do(func() error {
		d := net.Dialer{}
		c, err := d.DialContext(ctx, "udp", fmt.Sprintf("%s:%d", p.toAddr, gaugePort))
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // nothing more is wanted of it
		for range gaugeFrames {
			if _, err := c.Write(make([]byte, gaugeBytes)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	after, err := l.counters(p)
	if err != nil {
		return 0, err
	}
	if n := after.count - before.count; n != gaugeFrames {
		return 0, fmt.Errorf("%s: %d packets were sent and %d counted", p.nearIf, gaugeFrames, n)
	}
	return gaugeWire - (after.sent-before.sent)/gaugeFrames, nil
}

func socketDrops() (uint64, error) {
	b, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		return 0, err
	}
	return snmp(string(b), "Udp:", "RcvbufErrors")
}

// snmp reads one counter of /proc/net/snmp: a line of names is followed by a line of numbers.
func snmp(text, protocol, name string) (uint64, error) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != protocol {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, n := range names {
			if n == name && i < len(fields) {
				return strconv.ParseUint(fields[i], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no %s %s in /proc/net/snmp", protocol, name)
}

func softirqTime() (time.Duration, error) {
	var pids []int
	paths, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(b), "ksoftirqd/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	u, err := procs.Sample(pids...)
	return u.CPU, err
}

// listening waits until the namespace of a process has a socket ("udp" or "tcp") bound to the port.
func listening(ctx context.Context, p *process, network string, port int) error {
	want := fmt.Sprintf(":%04X ", port)
	tick := time.NewTicker(progressPoll)
	defer tick.Stop()
	limit := time.After(startPatience)
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, network))
		if err == nil && strings.Contains(string(b), want) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("ended before it listened: %v", p.cmd.ProcessState)
		case <-limit:
			return fmt.Errorf("does not listen on port %d after %v", port, startPatience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
