package warden

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// job is work for the loop, which does one after the other.
type job struct {
	do   func(ctx context.Context) outcome
	done chan<- outcome // of capacity 1
}

// outcome goes back to the client.
type outcome struct {
	body any
	file *os.File
	err  error
}

// verb does what one verb asks for, in the loop.
type verb func(l *loop, ctx context.Context, c call) outcome

// verbs are all that a client may ask for.
func verbs() map[string]verb {
	return map[string]verb{
		verbOrder: (*loop).order, verbRevise: (*loop).revise, verbReset: (*loop).reset, verbRelease: (*loop).release, verbAccept: (*loop).accept,
		verbAudit: (*loop).audit, verbTest: (*loop).test,
		verbPacket: (*loop).packet, verbLook: (*loop).lookAt, verbBuffer: (*loop).buffer,
	}
}

// answer implements answerer.
func (l *loop) answer(ctx context.Context, c call) (any, *os.File, error) {
	do, ok := verbs()[c.verb]
	if !ok {
		return nil, nil, fmt.Errorf("guard: warden: %q is not something it does", c.verb)
	}
	done := make(chan outcome, 1)
	select {
	case <-ctx.Done():
		return nil, nil, errEnded
	case <-l.ended:
		return nil, nil, errEnded
	case l.jobs <- job{do: func(ctx context.Context) outcome { return do(l, ctx, c) }, done: done}:
	}
	o := <-done // the loop finishes what it has taken
	return o.body, o.file, o.err
}

// errEnded answers what came too late.
var errEnded = errors.New("guard: warden: it is ending")

// errEmpty refuses a request without its argument.
var errEmpty = errors.New("guard: warden: the request says nothing")

// argument decodes what a request brings.
func argument[T any](c call) (T, error) {
	var value T
	if len(c.body) == 0 {
		return value, fmt.Errorf("%w: %s", errEmpty, c.verb)
	}
	if err := strict(c.body, &value); err != nil {
		return value, fmt.Errorf("guard: warden: %s: %w", c.verb, err)
	}
	return value, nil
}

func fail(err error) outcome { return outcome{err: err} }
