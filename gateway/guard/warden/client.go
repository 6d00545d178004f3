package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// ErrAway says that the warden does not answer. The caller may try again.
var ErrAway = errors.New("guard: the warden does not answer")

// Client talks to the warden of this node. It implements guard.Fence and
// guard.Opener. Run must be active for anything to happen; everything else may
// be called from several goroutines.
type Client struct {
	socket  string
	log     *slog.Logger
	first   *conn // of Dial, until Run takes it
	changed chan struct{}
	silence *time.Timer // fires when no standing has come for too long

	mu       sync.Mutex // guards what follows
	standing guard.Standing
	policy   *guard.Policy // of the last successful order, for a warden that has lost it
	conn     *conn         // nil while away
	here     chan struct{} // closed while conn is there
	pending  map[uint64]chan reply
	next     uint64
}

// reply is the answer to one request.
type reply struct {
	message
	file *os.File
}

// Dial connects to the warden at socket, to see that it is there. The error
// wraps ErrAway. Call Run, or Close.
func Dial(ctx context.Context, socket string, log *slog.Logger) (*Client, error) {
	c := &Client{
		socket: socket, log: log, changed: make(chan struct{}, 1),
		here: make(chan struct{}), pending: map[uint64]chan reply{},
		standing: guard.Standing{Reason: "the warden has not been heard yet"},
	}
	first, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.first = first
	return c, nil
}

// Close ends a client that Run was never called for.
func (c *Client) Close() {
	if c.first != nil {
		c.first.close()
	}
}

func (c *Client) connect(ctx context.Context) (*conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	return newConn(raw.(*net.UnixConn)), nil
}

// Run keeps the connection until ctx ends, then returns nil. While there is
// none, or nothing comes by it, the standing is unknown.
func (c *Client) Run(ctx context.Context) error {
	c.silence = time.AfterFunc(silentAfter, c.silent)
	defer c.silence.Stop()
	wait := reconnectFirst
	for ctx.Err() == nil {
		heard, err := c.session(ctx)
		if ctx.Err() != nil {
			break
		}
		c.lose(err)
		if heard {
			wait = reconnectFirst
		}
		pause(ctx, wait)
		wait = min(2*wait, reconnectMost)
	}
	c.lose(errors.New("this process is ending"))
	return nil
}

// session is the life of one connection. It reports whether a standing came.
func (c *Client) session(ctx context.Context) (heard bool, err error) {
	cn := c.first
	c.first = nil
	if cn == nil {
		if cn, err = c.connect(ctx); err != nil {
			return false, err
		}
	}
	stop := context.AfterFunc(ctx, cn.close)
	defer stop()
	defer cn.close()
	var again sync.WaitGroup
	defer again.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.found(cn)
	defer c.gone()
	again.Go(func() { c.orderAgain(ctx) })
	for {
		m, file, err := cn.receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it closed the connection")
			}
			return heard, err
		}
		if m.ID != 0 {
			c.deliver(reply{m, file})
			continue
		}
		if file != nil {
			_ = file.Close() // nobody asked for it
		}
		if err := c.hear(m); err != nil {
			return heard, err
		}
		heard = true
	}
}

// orderAgain orders what was ordered before: a warden that was started anew
// without its state directory knows nothing.
func (c *Client) orderAgain(ctx context.Context) {
	c.mu.Lock()
	p := c.policy
	c.mu.Unlock()
	if p == nil {
		return
	}
	if err := c.Order(ctx, *p); err != nil && ctx.Err() == nil {
		c.log.Error("guard: policy not ordered again", "error", err)
	}
}

// found makes a connection the one that requests go by.
func (c *Client) found(cn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = cn
	close(c.here)
}

// gone ends every request that waits for an answer.
func (c *Client) gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn, c.here = nil, make(chan struct{})
	for id, wait := range c.pending {
		delete(c.pending, id)
		close(wait)
	}
}

// hear takes in a standing.
func (c *Client) hear(m message) error {
	if m.Err != nil {
		return m.Err
	}
	var s guard.Standing
	if err := json.Unmarshal(m.Body, &s); err != nil {
		return fmt.Errorf("%w: standing: %w", errMessage, err)
	}
	c.silence.Reset(silentAfter)
	c.take(s)
	return nil
}

// take shows a standing, unless a newer one is there.
func (c *Client) take(s guard.Standing) {
	c.mu.Lock()
	was := c.standing
	if s.PID == was.PID && was.Known && s.At.Before(was.At) {
		c.mu.Unlock()
		return
	}
	c.standing = s
	c.mu.Unlock()
	if s.Known != was.Known || s.Reason != was.Reason {
		c.log.Info("guard: standing of the fence", "known", s.Known, "reason", s.Reason, "pid", s.PID)
	}
	wake(c.changed)
}

// silent is called when nothing has been heard for silentAfter.
func (c *Client) silent() { c.lose(fmt.Errorf("nothing heard for %s", silentAfter)) }

// lose makes the standing unknown. What was found before stays readable.
func (c *Client) lose(err error) {
	reason := fmt.Errorf("%w: %w", ErrAway, err).Error()
	if errors.Is(err, ErrAway) {
		reason = err.Error()
	}
	c.mu.Lock()
	was := c.standing
	c.standing.Known, c.standing.Reason = false, reason
	c.mu.Unlock()
	if was.Known {
		c.log.Error("guard: standing of the fence is unknown", "error", err)
	}
	if was.Known || was.Reason != reason {
		wake(c.changed)
	}
}

// Standing implements guard.Fence. The slices must not be changed.
func (c *Client) Standing() guard.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.standing
}

// Changed implements guard.Fence.
func (c *Client) Changed() <-chan struct{} { return c.changed }
