package relay

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// Reasons of refusals. Connections and datagrams are refused at the border; a plugin's requests are counted under what
// it asked for ("dial tcp 192.0.2.1:502").
const (
	RefusedAllowFrom      = "allow_from"          // connection from an address that is not allowed
	RefusedMaxConnections = "max_connections"     // connection beyond the limit of the block
	RefusedFileLimit      = "fd-limit"            // connection for which there is no descriptor left
	RefusedPluginBusy     = "plugin-busy"         // connection that the plugin did not take in time
	RefusedClosing        = "closing"             // connection that waited for a plugin when the component ended
	DroppedAllowFrom      = "datagram-allow_from" // datagram from an address that is not allowed
	DroppedClosing        = "datagram-closing"    // datagram read and not yet handed over when its socket was closed
	DroppedInterface      = "datagram-interface"  // datagram that came by another interface than its socket's
)

// Stats are the counters of a Relay since New.
type Stats struct {
	Accepted      uint64            // connections accepted, refused ones included
	Open          uint64            // connections open now, both directions
	BytesIn       uint64            // from the network to the plugin
	BytesOut      uint64            // from the plugin to the network
	Datagrams     uint64            // handed to the plugin
	DatagramsOut  uint64            // taken by the kernel
	Waiting       uint64            // writes that wait for the plugin to read; with BytesIn standing still it does not
	KernelDrops   uint64            // datagrams that the kernel dropped because its buffer was full (SO_RXQ_OVFL)
	ReceiveBuffer int               // bytes granted, the least of all UDP sockets; 0 = none open
	Refused       map[string]uint64 // by reason, see the constants
	Sockets       []guard.SocketStat
}

type counters struct {
	accepted, bytesIn, bytesOut, datagrams, datagramsOut, kernelDrops atomic.Uint64

	open, waiting atomic.Int64
	receiveBuffer atomic.Int64
}

// Stats returns a copy of the counters.
func (r *Relay) Stats() Stats {
	c := &r.counts
	return Stats{
		Accepted: c.accepted.Load(), Open: uint64(max(0, c.open.Load())),
		Waiting: uint64(max(0, c.waiting.Load())),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		Datagrams: c.datagrams.Load(), DatagramsOut: c.datagramsOut.Load(), KernelDrops: c.kernelDrops.Load(),
		ReceiveBuffer: int(c.receiveBuffer.Load()), Refused: r.refused.snapshot(), Sockets: r.socketStats(),
	}
}

// socketStats asks the open listeners for what status shows of them.
func (r *Relay) socketStats() []guard.SocketStat {
	type stated interface{ Stats() []guard.SocketStat }
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []guard.SocketStat
	for _, c := range []any{r.tcpOpen, r.udpOpen} {
		if s, ok := c.(stated); ok {
			out = append(out, s.Stats()...)
		}
	}
	return out
}

const (
	maxReasons   = 64               // a hostile plugin invents targets; beyond, they are counted together (ours)
	otherReasons = "other requests" //
	logEvery     = 10 * time.Second // per reason (ours)
)

// refusals counts by reason and logs each reason at most every ten seconds.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex // guards both
	counts map[string]uint64
	logged map[string]time.Time
}

// add counts n refusals. The attributes describe the last one.
func (f *refusals) add(reason string, n uint64, attrs ...any) {
	if n == 0 {
		return
	}
	f.mu.Lock()
	if f.counts == nil {
		f.counts, f.logged = map[string]uint64{}, map[string]time.Time{}
	}
	if _, known := f.counts[reason]; !known && len(f.counts) >= maxReasons {
		reason = otherReasons
	}
	f.counts[reason] += n
	total, now := f.counts[reason], time.Now()
	quiet := now.Sub(f.logged[reason]) < logEvery
	if !quiet {
		f.logged[reason] = now
	}
	f.mu.Unlock()
	if !quiet {
		f.log.Warn("refused", append([]any{"reason", reason, "total", total}, attrs...)...)
	}
}

func (f *refusals) snapshot() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}
