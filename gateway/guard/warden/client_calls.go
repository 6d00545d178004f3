package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

var (
	_ guard.Fence  = (*Client)(nil)
	_ guard.Opener = (*Client)(nil)
)

// Order makes p the policy that the warden enforces, and returns when it
// stands. It is written down: a warden that starts anew enforces it at once.
// A *guard.RuleError says that a rule does not name one interface, and a
// *WeakerError that p guards less than the policy in force, which only root
// may order; the policy before stays in force then. Ports in force stay
// dropped as well, unless root orders.
func (c *Client) Order(ctx context.Context, p guard.Policy) error {
	if _, err := c.call(ctx, verbOrder, p, nil); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy = &p
	return nil
}

// Revise is Order for who does not know on which networks receivers listen: of
// the ports in force those with these numbers stay. It returns in words what
// is guarded no longer.
func (c *Client) Revise(ctx context.Context, p guard.Policy, ports []uint16) (weaker []string, err error) {
	made, err := ask[change](ctx, c, verbRevise, revision{Policy: p, Ports: ports})
	return made.Weaker, err
}

// Reset lets what has tripped go on. It returns an error that names what trips
// again at once, and a *RootError for who is not root.
func (c *Client) Reset(ctx context.Context, by By) error {
	_, err := c.call(ctx, verbReset, by, nil)
	return err
}

// Release takes every drop away and forgets the policy: nothing keeps the
// interfaces silent afterwards. What has tripped stays tripped, and down. Who
// is not root gets a *RootError.
func (c *Client) Release(ctx context.Context, by By) error {
	c.mu.Lock()
	c.policy = nil
	c.mu.Unlock()
	_, err := c.call(ctx, verbRelease, by, nil)
	return err
}

// Accept lets an interface that is new to this machine have the role that the
// policy gives it.
func (c *Client) Accept(ctx context.Context, name string) (guard.Decision, error) {
	return ask[guard.Decision](ctx, c, verbAccept, interfaceQuery{Name: name})
}

// Audit reads everything back now and returns what it found, which is what
// Standing returns from then on.
func (c *Client) Audit(ctx context.Context) (guard.Standing, error) {
	s, err := ask[guard.Standing](ctx, c, verbAudit, nil)
	if err == nil {
		c.take(s)
	}
	return s, err
}

// Test tries each drop with frames that must not get through.
func (c *Client) Test(ctx context.Context) (Report, error) {
	return ask[Report](ctx, c, verbTest, nil)
}

func ask[T any](ctx context.Context, c *Client, verb string, body any) (T, error) {
	var out T
	r, err := c.call(ctx, verb, body, nil)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(r.Body, &out); err != nil {
		return out, fmt.Errorf("%w: %s: %w", errMessage, verb, err)
	}
	return out, nil
}

// Packet implements guard.Opener.
func (c *Client) Packet(ctx context.Context, q guard.PacketQuery) (*os.File, error) {
	return c.socketFor(ctx, verbPacket, q)
}

// Look implements guard.Opener.
func (c *Client) Look(ctx context.Context, index int, name string) (*os.File, error) {
	return c.socketFor(ctx, verbLook, interfaceQuery{Index: index, Name: name})
}

func (c *Client) socketFor(ctx context.Context, verb string, q any) (*os.File, error) {
	r, err := c.call(ctx, verb, q, nil)
	if err != nil {
		return nil, err
	}
	if r.file == nil {
		return nil, fmt.Errorf("%w: no socket came with %s", errMessage, verb)
	}
	return r.file, nil
}

// ForceBuffer implements guard.Opener.
func (c *Client) ForceBuffer(ctx context.Context, conn syscall.Conn, bytes int) error {
	if conn == nil {
		return errors.New("guard: warden: no socket whose buffer could grow")
	}
	_, err := c.call(ctx, verbBuffer, bufferQuery{Bytes: bytes}, conn)
	return err
}
