package tcp

import (
	"context"
	"encoding/hex"
	"log/slog"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// headBytes is how much of a bad frame is logged.
const headBytes = 32

// Notices about single connections: a hostile sender must not fill the log (ours).
const (
	noticesPerSecond = 5
	noticesBurst     = 20
)

// Counters is what the receiver has seen since the process started. Every connection that did not end in order is in
// exactly one of the last six.
type Counters struct {
	Connections uint64 `json:"connections_total"`
	Bytes       uint64 `json:"bytes_total"` // after TLS
	Records     uint64 `json:"records_total"`
	Critical    uint64 `json:"critical_records_total"` // of Records, those of the critical class
	Truncated   uint64 `json:"truncated_total"`        // connections that ended inside a message
	NoFraming   uint64 `json:"bad_frame_no_framing_total"`
	BadCount    uint64 `json:"bad_frame_bad_count_total"`
	TooLarge    uint64 `json:"bad_frame_too_large_total"`
	Handshakes  uint64 `json:"handshake_errors_total"`
	Idle        uint64 `json:"idle_total"`
	Cut         uint64 `json:"cut_total"` // still open at the end of a drain
	Broken      uint64 `json:"broken_total"`
}

type counters struct {
	connections, bytes, records, critical, truncated atomic.Uint64
	noFraming, badCount, tooLarge                    atomic.Uint64
	handshakes, idle, cut, broken                    atomic.Uint64
}

func (c *counters) bad(reason string) {
	switch reason {
	case reasonNoFraming:
		c.noFraming.Add(1)
	case reasonCount:
		c.badCount.Add(1)
	default:
		c.tooLarge.Add(1)
	}
}

// Counters returns a copy.
func (r *Receiver) Counters() Counters {
	c := &r.counters
	return Counters{
		Connections: c.connections.Load(), Bytes: c.bytes.Load(), Records: c.records.Load(), Critical: c.critical.Load(), Truncated: c.truncated.Load(),
		NoFraming: c.noFraming.Load(), BadCount: c.badCount.Load(), TooLarge: c.tooLarge.Load(),
		Handshakes: c.handshakes.Load(), Idle: c.idle.Load(), Cut: c.cut.Load(), Broken: c.broken.Load(),
	}
}

// notices logs what happens to single connections, limited in rate; a line that follows withheld ones says how many.
type notices struct {
	log      *slog.Logger
	limit    *rate.Limiter
	withheld atomic.Uint64
}

func newNotices(log *slog.Logger) *notices {
	return &notices{log: log, limit: rate.NewLimiter(noticesPerSecond, noticesBurst)}
}

func (n *notices) warn(ctx context.Context, text string, args ...any) {
	n.write(ctx, slog.LevelWarn, text, args)
}

func (n *notices) info(ctx context.Context, text string, args ...any) {
	n.write(ctx, slog.LevelInfo, text, args)
}

func (n *notices) write(ctx context.Context, level slog.Level, text string, args []any) {
	if !n.limit.Allow() {
		n.withheld.Add(1)
		return
	}
	if w := n.withheld.Swap(0); w > 0 {
		args = append(args, "withheld", w)
	}
	n.log.Log(ctx, level, text, args...)
}

func head(b []byte) string { return hex.EncodeToString(b[:min(len(b), headBytes)]) }
