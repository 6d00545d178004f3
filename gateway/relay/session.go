package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// lastWords is how long connections may bring to an end what a plugin that has gone left in them (ours: what is there
// is in socket buffers, and only a peer that does not read keeps it there).
const lastWords = 2 * time.Second

// Handed is what one instance of a plugin was given.
type Handed struct {
	Connections uint64
	Datagrams   uint64 // written to its feeds as a whole frame
	Bytes       uint64 // payload of these datagrams
}

// session is one instance of the plugin.
type session struct {
	relay   *Relay
	control *control.Socket
	ctx     context.Context // ends when the instance is over
	dials   chan struct{}   // tokens of dials in progress

	connections, datagrams, bytes atomic.Uint64
	senders                       atomic.Int64

	wg    sync.WaitGroup // tasks and feeds
	pipes sync.WaitGroup // relayed connections

	mu    sync.Mutex // guards what follows
	over  bool
	alive map[*pipe]struct{}
}

// Serve answers one instance of the plugin until ctx ends or the control socket breaks, which it does when the plugin
// ends. It closes the socket, upon which a plugin that still lives ends too, and returns when nothing of the instance
// is left. The error is nil when ctx has ended.
func (r *Relay) Serve(ctx context.Context, ctl *control.Socket) (Handed, error) {
	defer ctl.Close() //nolint:errcheck // nothing is lost with it
	if !r.enter() {
		return Handed{}, ErrClosed
	}
	defer r.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	defer context.AfterFunc(ctx, func() { _ = ctl.Close() })()
	s := &session{relay: r, control: ctl, ctx: ctx, dials: make(chan struct{}, maxDials), alive: map[*pipe]struct{}{}}
	err := s.receive()
	if ctx.Err() != nil {
		err = nil
	}
	r.Pause(ctl)
	cancel()
	s.end()
	return Handed{Connections: s.connections.Load(), Datagrams: s.datagrams.Load(), Bytes: s.bytes.Load()}, err
}

// receive takes in the plugin's requests.
func (s *session) receive() error {
	for {
		m, f, err := s.control.Receive()
		if f != nil {
			_ = f.Close() // nothing that a plugin sends is of use here
		}
		if errors.Is(err, control.ErrTruncated) {
			continue
		}
		if err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		switch k := m.GetKind().(type) {
		case *proto.Control_Listen:
			s.listen(m.GetId(), k.Listen)
		case *proto.Control_Dial:
			s.dial(m.GetId(), k.Dial)
		default: // a newer plugin's message
		}
	}
}

// task runs f in a goroutine that Serve waits for; f must end soon after the session's context.
func (s *session) task(f func()) bool {
	if !s.enter() {
		return false
	}
	go func() {
		defer s.wg.Done()
		f()
	}()
	return true
}

// enter makes Serve wait until wg.Done.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.wg.Add(1)
	return true
}

// start counts a connection and relays it until it ends. It says no when the session is over.
func (s *session) start(p *pipe) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.connections.Add(1)
	s.alive[p] = struct{}{}
	s.pipes.Go(func() {
		p.run()
		s.mu.Lock()
		delete(s.alive, p)
		s.mu.Unlock()
	})
	return true
}

// end waits for all that the session has, and cuts connections that do not end by themselves.
func (s *session) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.wg.Wait()
	done := make(chan struct{})
	go func() {
		s.pipes.Wait()
		close(done)
	}()
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	select {
	case <-done:
		return
	case <-patience.C:
	case <-s.relay.ctx.Done():
	}
	s.mu.Lock()
	for p := range s.alive {
		p.abort()
	}
	s.mu.Unlock()
	<-done
}
