package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

const (
	rawPort   = 7401
	iperfPort = 5201
	// yardstickSpan is how long a yardstick of the machine runs.
	yardstickSpan = 2 * time.Second
)

// limit is one run of a yardstick of the machine, which carries no payload of ours.
type limit struct {
	name            string
	mtu             int
	sent, delivered float64 // MB/s
	tx, rx          float64 // CPU seconds per GB delivered
}

func (x limit) String() string {
	return fmt.Sprintf("%s, MTU %d: delivered %.1f MB/s (sent %.1f), %.2f CPU s/GB (tx %.2f, rx %.2f)", x.name, x.mtu, x.delivered, x.sent, x.tx+x.rx, x.tx, x.rx)
}

// yardsticks measures what the machine can do at all.
func (l *lab) yardsticks(ctx context.Context, r *report, runs int) error {
	for _, mtu := range []int{1500, 9000} {
		if l.wants("raw") {
			if err := l.raw(ctx, mtu, runs, r); err != nil {
				return err
			}
		}
		if l.wants("iperf3") {
			if err := l.iperf(ctx, mtu, runs, r); err != nil {
				return err
			}
		}
	}
	l.setMTU(1500)
	return nil
}

// datagram is the largest UDP payload over IPv4 without options.
func datagram(mtu int) int { return mtu - 28 }

// raw sends bursts as fast as the kernel takes them; nothing is paced, so that the difference between sent and
// delivered is lost.
func (l *lab) raw(ctx context.Context, mtu, runs int, r *report) error {
	l.setMTU(mtu)
	l.setGRO(l.direct, l.gro)
	perPacket := float64(datagram(mtu))
	to := fmt.Sprintf("%s:%d", l.direct.toAddr, rawPort)
	file := l.reportFile(verbRawReceive)
	for range runs {
		before, err := l.counters(l.direct)
		if err != nil {
			return err
		}
		rx, err := start(command(ctx, l.far, []string{l.self, verbRawReceive, "-address", to, "-report", file}))
		if err != nil {
			return err
		}
		if err := listening(ctx, rx, "udp", rawPort); err != nil {
			rx.stop(0)
			return err
		}
		tx, err := start(command(ctx, l.near, []string{l.self, verbRawSend, "-address", to, "-size", strconv.Itoa(datagram(mtu)), "-for", yardstickSpan.String()}))
		if err != nil {
			rx.stop(0)
			return err
		}
		txTime := tx.stop(yardstickSpan + stopPatience)
		rxTime := rx.stop(stopPatience)
		var got rawReport
		if err := readReport(file, &got); err != nil {
			return fmt.Errorf("raw datagrams: %w: %s%s", err, rx.fault(), tx.fault())
		}
		after, err := l.counters(l.direct)
		if err != nil {
			return err
		}
		gb := float64(got.Bytes) / 1e9
		x := limit{
			name: "raw UDP_SEGMENT/UDP_GRO", mtu: mtu, delivered: float64(got.Bytes) / 1e6 / got.Seconds,
			sent: float64(after.count-before.count) * perPacket / 1e6 / got.Seconds, tx: txTime.Seconds() / gb, rx: rxTime.Seconds() / gb,
		}
		fmt.Fprintln(l.out, "  "+x.String())
		r.limits = append(r.limits, x)
	}
	return nil
}

// iperfReport is what is read of the client's output.
type iperfReport struct {
	End struct {
		Sum struct {
			Seconds     float64
			Bytes       float64
			LostPackets float64 `json:"lost_packets"`
			Packets     float64
		}
	}
	Error string
}

// iperf needs a way back for its control connection: it gets one, for as long as it runs.
func (l *lab) iperf(ctx context.Context, mtu, runs int, r *report) error {
	path, err := exec.LookPath("iperf3")
	if err != nil {
		fmt.Fprintln(l.out, "iperf3 is not installed: left out")
		return nil
	}
	l.setMTU(mtu)
	if err := l.returnPath(ctx, true); err != nil {
		return err
	}
	for range runs {
		x, err := l.iperfOnce(ctx, path, mtu)
		if err != nil {
			return err
		}
		fmt.Fprintln(l.out, "  "+x.String())
		r.limits = append(r.limits, x)
	}
	return l.returnPath(ctx, false)
}

func (l *lab) iperfOnce(ctx context.Context, path string, mtu int) (limit, error) {
	address := l.direct.toAddr.String()
	rx, err := start(command(ctx, l.far, []string{path, "-s", "-1", "-B", address, "-p", strconv.Itoa(iperfPort)}))
	if err != nil {
		return limit{}, err
	}
	defer rx.stop(0)
	if err := listening(ctx, rx, "tcp", iperfPort); err != nil {
		return limit{}, err
	}
	client := command(ctx, l.near, []string{
		path, "-c", address, "-p", strconv.Itoa(iperfPort), "-u", "-b", "0", "-l", strconv.Itoa(datagram(mtu)),
		"-t", strconv.Itoa(int(yardstickSpan.Seconds())), "-J",
	})
	out, err := client.Output()
	rxTime := rx.stop(stopPatience)
	var got iperfReport
	if e := json.Unmarshal(out, &got); e != nil || got.Error != "" || err != nil {
		return limit{}, fmt.Errorf("iperf3: %w: %s %s", err, got.Error, rx.fault())
	}
	s := got.End.Sum
	sent := s.Packets * float64(datagram(mtu)) / 1e6 / s.Seconds
	delivered := sent * (1 - s.LostPackets/max(s.Packets, 1))
	gb := delivered * s.Seconds / 1e3
	txTime := client.ProcessState.UserTime() + client.ProcessState.SystemTime()
	return limit{
		name: "iperf3 UDP, unpaced", mtu: mtu, sent: sent, delivered: delivered, tx: txTime.Seconds() / gb, rx: rxTime.Seconds() / gb,
	}, nil
}
