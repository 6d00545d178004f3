package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	start     func(ctx context.Context, l *link) error // opens the socket and runs one session; nil: its group does
	group     *group                                   // of a receiving end; nil otherwise
	log       *slog.Logger
	unsent    unsent // resends of a sending end

	mu      sync.Mutex // guards what follows
	session session    // the one that runs; nil when none does
	failed  string     // why none does, or why there is no socket
}

// session is one session of a link, as status sees it.
type session interface {
	show(st *console.Link)
}

// run keeps the link up until ctx ends: an error (no such interface yet, an address that is gone) is shown and tried
// again.
func (l *link) run(ctx context.Context) error {
	keepUp(ctx, complaint{log: l.log, text: "link ended; trying again"}, func(ctx context.Context) error { return l.start(ctx, l) },
		func(err error) { l.set(nil, err) })
	l.set(nil, errStopped)
	return nil
}

// keepUp runs f until ctx ends, again after a pause whenever it has ended; ended is told why.
func keepUp(ctx context.Context, c complaint, f func(context.Context) error, ended func(error)) {
	for ctx.Err() == nil {
		err := f(ctx)
		if ctx.Err() != nil {
			return
		}
		c.about(err)
		ended(err)
		select {
		case <-ctx.Done():
		case <-time.After(linkRetry):
		}
	}
}

// complaint says the same thing once, and again from time to time.
type complaint struct {
	log  *slog.Logger
	text string
	told string
	at   time.Time
}

func (c *complaint) about(err error) {
	if why := fmt.Sprint(err); why != c.told || time.Since(c.at) >= linkTold {
		c.told, c.at = why, time.Now()
		c.log.Error(c.text, "error", err, "every", linkRetry.String())
	}
}

func (l *link) set(s session, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.failed = s, ""
	if err != nil {
		l.failed = err.Error()
	}
}
