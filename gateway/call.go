package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// drainTime is how long a plugin may finish what it has when it is told to end (ours).
const drainTime = 5 * time.Second

// errEndedByItself is what a Run that returns without an error and without being asked to amounts to.
var errEndedByItself = errors.New("the plugin ended by itself")

// call is a function that runs in a goroutine. Who starts one waits for done before it returns.
type call struct {
	done chan struct{}
	err  error // valid after done
}

func start(f func() error) *call {
	c := &call{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = f()
	}()
	return c
}

// wait returns what f returned.
func (c *call) wait() error {
	<-c.done
	return c.err
}

// drain asks a plugin to finish and waits for its Run, at most drainTime.
func drain(ctx context.Context, p sdk.Plugin, ran *call) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := p.Drain(ctx)
	select {
	case <-ran.done:
		return errors.Join(err, ran.err)
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("not drained after %s", drainTime))
	}
}
