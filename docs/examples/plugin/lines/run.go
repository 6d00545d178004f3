package lines

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// Limits (ours).
const (
	maxLine     = 64 << 10 // bytes of one line
	unanswered  = 4096     // lines of one connection on their way to the spool: bounds its queue
	answerLimit = 10 * time.Second
	lastLines   = 200 * time.Millisecond // what arrives so soon after Drain is still read
)

// Run accepts connections until ctx ends or Drain has been obeyed.
func (p *Plugin) Run(ctx context.Context, network sdk.Network, out sdk.Intake) error {
	defer close(p.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := sdk.NewWriter(out, p.setup, sdk.WriterOptions{})
	if err != nil {
		return err
	}
	l, err := network.Listener(ctx)
	if err != nil {
		return err
	}
	var children, connections sync.WaitGroup
	defer children.Wait()
	defer cancel()
	children.Go(func() { _ = w.Run(ctx) }) // its error reaches the connections through their tickets
	children.Go(func() { p.watch(ctx, cancel, l) })
	for {
		c, err := l.Accept()
		if err != nil {
			break // drained, cancelled, or the core has gone
		}
		connections.Go(func() { p.serve(ctx, w, c) })
	}
	connections.Wait()
	return ctx.Err()
}

// watch ends accepting when ctx ends or Drain begins, and everything when Drain's time is over.
func (p *Plugin) watch(ctx context.Context, cancel context.CancelFunc, l net.Listener) {
	defer l.Close() //nolint:errcheck // it returns nil
	select {
	case <-ctx.Done():
		return
	case <-p.draining:
	}
	_ = l.Close()
	select {
	case <-ctx.Done():
	case <-p.cut:
		cancel()
	}
}

// serve reads one connection's lines until it ends, ctx ends or Drain begins, and waits until all are answered.
func (p *Plugin) serve(ctx context.Context, w *sdk.Writer, c net.Conn) {
	defer c.Close() //nolint:errcheck // everything has been answered, or cannot be
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	reading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		select {
		case <-p.draining:
			_ = c.SetReadDeadline(time.Now().Add(lastLines)) // and answer what was read
		case <-reading.Done():
		}
	})
	tickets := make(chan *sdk.Ticket, unanswered)
	wg.Go(func() { p.answer(ctx, c, tickets) })
	defer close(tickets)
	if _, err := io.WriteString(c, p.config.Greeting+"\n"); err != nil {
		return
	}
	if err := read(ctx, w, c, tickets); err != nil {
		p.setup.Log.Info("connection ended", "remote", c.RemoteAddr().String(), "error", err)
	}
}

// read turns lines into records. The end of the stream and Drain are no errors.
func read(ctx context.Context, w *sdk.Writer, c net.Conn, tickets chan<- *sdk.Ticket) error {
	from := sdk.ConnectionOf(c)
	lines := bufio.NewScanner(c)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		rec := sdk.Record{Kind: sdk.KindOpaque, Received: time.Now(), Payload: lines.Bytes()}
		ticket, err := w.Write(ctx, from, []sdk.Record{rec}) // copies the payload
		if err != nil {
			return err
		}
		select {
		case tickets <- ticket:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := lines.Err(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// wholeLines is bufio.ScanLines without its last, unfinished line: what Drain or a broken connection cut off is no record.
func wholeLines(data []byte, _ bool) (advance int, token []byte, err error) {
	line, _, ok := bytes.Cut(data, []byte("\n"))
	if !ok {
		return 0, nil, nil
	}
	return len(line) + 1, line, nil
}

// answer sends "ok" for each line that is durable. After a loss it closes the connection: the client sends again what
// was not answered.
func (p *Plugin) answer(ctx context.Context, c net.Conn, tickets <-chan *sdk.Ticket) {
	lost := false
	for t := range tickets {
		if lost {
			continue // read must never block on a queue that nobody empties
		}
		err := t.Wait(ctx)
		if err == nil {
			_ = c.SetWriteDeadline(time.Now().Add(answerLimit))
			_, err = io.WriteString(c, "ok\n")
		}
		if err != nil {
			lost = true
			_ = c.Close()
		}
	}
}
