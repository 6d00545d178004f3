package warden

import (
	"context"
	"fmt"
	"syscall"
)

// deliver hands an answer to who waits for it.
func (c *Client) deliver(r reply) {
	c.mu.Lock()
	wait, ok := c.pending[r.ID]
	delete(c.pending, r.ID)
	c.mu.Unlock()
	if ok {
		wait <- r // of capacity 1, and nobody else sends
		return
	}
	if r.file != nil {
		_ = r.file.Close() // who asked for it has given up
	}
}

// call sends a request, as soon as there is a connection, and waits for the
// answer. The file of the answer is the caller's.
func (c *Client) call(ctx context.Context, verb string, body any, file syscall.Conn) (reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callWithin, fmt.Errorf("%w: no answer to %q within %s", ErrAway, verb, callWithin))
	defer cancel()
	cn, err := c.reach(ctx)
	if err != nil {
		return reply{}, err
	}
	wait := make(chan reply, 1)
	c.mu.Lock()
	c.next++
	id := c.next
	c.pending[id] = wait
	c.mu.Unlock()
	m, err := pack(id, verb, body)
	if err == nil {
		err = cn.send(m, file)
	}
	if err != nil {
		c.abandon(id, wait)
		return reply{}, err
	}
	select {
	case <-ctx.Done():
		c.abandon(id, wait)
		return reply{}, context.Cause(ctx)
	case r, ok := <-wait:
		return checked(r, ok)
	}
}

func checked(r reply, ok bool) (reply, error) {
	switch {
	case !ok:
		return reply{}, fmt.Errorf("%w: the connection was lost before the answer", ErrAway)
	case r.Err != nil:
		if r.file != nil {
			_ = r.file.Close() // an error brings none
		}
		return reply{}, r.Err
	}
	return r, nil
}

// reach waits for a connection.
func (c *Client) reach(ctx context.Context) (*conn, error) {
	for {
		c.mu.Lock()
		cn, here := c.conn, c.here
		c.mu.Unlock()
		if cn != nil {
			return cn, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-here:
		}
	}
}

// abandon forgets a request. An answer that came meanwhile is thrown away.
func (c *Client) abandon(id uint64, wait <-chan reply) {
	c.mu.Lock()
	_, open := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if open {
		return
	}
	if r, ok := <-wait; ok && r.file != nil {
		_ = r.file.Close() // deliver was faster
	}
}
