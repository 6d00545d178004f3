package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// errStopped is what status says of a link once it was told to end.
var errStopped = errors.New("stopped")

const (
	// goBackTime and goBackBytes bound what a sender repeats after a start: frames that the kernel had taken can have
	// died in it. The far side removes what it has.
	goBackTime  = 2 * time.Second
	goBackBytes = 64 << 20
	// goBackEntries bounds it too: a receiver makes at most 200 small batches a second (ours).
	goBackEntries = 4096
	// linkRetry is the pause after a link ended with an error (ours).
	linkRetry = time.Second
	// linkTold is how often a link that ends with the same error again and again says so (ours).
	linkTold = time.Minute
	// linkBuffer is the receive buffer asked for, bytes (measured: 64 MiB loses nothing in 30 paced runs).
	linkBuffer = 64 << 20
)

// link is one end of a diode on this node.
type link struct {
	diode     *config.Diode
	direction string // "send" or "receive"
	origin    *origin
	pairings  []pairing.File                           // the one in use first
	start     func(ctx context.Context, l *link) error // opens the socket and runs one session
	log       *slog.Logger
	counts    linkCounts

	mu      sync.Mutex // guards what follows
	session session    // the one that runs; nil when none does
	failed  string     // why none does
	far     *far       // of the newest session of a receiving end
}

// session is one session of a link, as status sees it.
type session interface {
	show(st *console.Link)
}

// run keeps the link up until ctx ends: an error (no such interface yet, an address that is gone) is shown and tried
// again.
func (l *link) run(ctx context.Context) error {
	var told string
	var at time.Time
	for ctx.Err() == nil {
		err := l.start(ctx, l)
		if ctx.Err() != nil {
			break
		}
		if text := fmt.Sprint(err); text != told || time.Since(at) >= linkTold {
			told, at = text, time.Now()
			l.log.Error("link ended; trying again", "error", err, "every", linkRetry.String())
		}
		l.set(nil, err)
		select {
		case <-ctx.Done():
		case <-time.After(linkRetry):
		}
	}
	l.set(nil, errStopped)
	return nil
}

func (l *link) set(s session, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.failed = s, ""
	if err != nil {
		l.failed = err.Error()
	}
}

// receiveConns opens the sockets of receiving ends; the guard is behind it.
type receiveConns interface {
	DiodeReceive(ctx context.Context, iface string, listen netip.AddrPort, rcvbuf int) (udpConn, error)
}
