package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/sluice-gateway/sluice/test/bench/sheet"
)

// setup says what a figure means nothing without.
func setup(ctx context.Context, o options) []string {
	onOff := map[bool]string{true: "on", false: "off"}
	return []string{
		fmt.Sprintf("machine: %s, %d cores for both ends, %s, load average at the start %s", sheet.CPUModel(), runtime.NumCPU(), sheet.FirstLine(sheet.ReadFile("/proc/sys/kernel/osrelease")), sheet.LoadAverage()),
		fmt.Sprintf("versions: this program and sluice %s, %s, %s", runtime.Version(), version(ctx, "udp-sender", "udpcast", "dpkg-query", "-W", "-f", "udpcast ${Version}", "udpcast"), version(ctx, "iperf3", "iperf3", "iperf3", "--version")),
		"namespaces: sender and receiver each in its own, joined by veth; nothing can return (nftables drops what the far end sends, neighbours are static); iperf3 gets a way back",
		"sending interface: software segmentation (tso, gso and tx-udp-segmentation off), as a card without offload; nothing larger than the MTU is on a cable",
		fmt.Sprintf("receiving interface: gro %s, rx-udp-gro-forwarding %s, unless a row says otherwise", onOff[o.gro], onOff[o.gro]),
		"loss: nftables in a third namespace between the two, its ports with gso, gro and tso off; 40,000 or more numbered datagrams in bursts of 40 show share and mean run of the losses before a row is measured; bursts stand in the middle of their period",
		fmt.Sprintf("payload: random bytes, seed %d, read from and written to a tmpfs; %d MB per run, %d MB for udpcast; a run is intact when the SHA-256 of all is the same", o.seed, o.size/mb, o.peerSize/mb),
		fmt.Sprintf("sluice: sealed with AES-256-GCM, batches of %d KiB, 192+32 shards of 1408 bytes at MTU 1500 and 8896 at 9000, receive buffer 64 MiB; in-order delivery", batchBytes>>10),
		fmt.Sprintf("udpcast: --async, --max-bitrate %s (2148m and more hang), blocks of 1456 bytes at most whatever the MTU, --rcvbuf %s (net.core.rmem_max); nothing sealed", udpcastRate, sheet.FirstLine(sheet.ReadFile(rmemMax))),
		"MB/s: from the first to the last growth of the output; CPU: user and system time of both processes (wait4), reading and writing the payload included, all at nice -10; wire: bytes that left the sending interface, Ethernet header included, per byte of payload",
		rateText(o),
	}
}

func rateText(o options) string {
	if o.rate > 0 {
		return fmt.Sprintf("rate of the link: %.2f Gbit/s", float64(o.rate)/gbit)
	}
	return fmt.Sprintf("rate of the link: per row the highest at which trials of %v and then a whole run lose nothing, in steps of %.1f", trialSpan, rateUp)
}

// version asks a command what a program is, when the program is there.
func version(ctx context.Context, program, name string, command ...string) string {
	if _, err := exec.LookPath(program); err != nil {
		return name + " is not installed"
	}
	b, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	if err != nil {
		return name + " of unknown version"
	}
	return strings.Join(strings.Fields(sheet.FirstLine(string(b))), " ")
}
