package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
)

// tb keeps what is to be cleaned up, and turns a fatal error into one of the program.
type tb struct {
	testing.TB
	name     string
	ctx      context.Context // what testing.TB hands out
	out      io.Writer
	cleanups []func()
	err      error
}

// Run calls f with what stands in for a test of that name, cleans up whatever happens, and returns every error.
func Run(ctx context.Context, name string, out io.Writer, f func(testing.TB) error) error {
	t := &tb{name: name, ctx: ctx, out: out}
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = f(t)
	}()
	<-done
	for _, cleanup := range slices.Backward(t.cleanups) {
		cleanup()
	}
	return errors.Join(err, t.err)
}

func (t *tb) Helper()                  {}
func (t *tb) Name() string             { return t.name }
func (t *tb) Context() context.Context { return t.ctx }
func (t *tb) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *tb) Log(args ...any)          { _, _ = fmt.Fprintln(t.out, args...) }
func (t *tb) Logf(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...)
}

func (t *tb) Errorf(format string, args ...any) {
	t.err = errors.Join(t.err, fmt.Errorf(format, args...))
}

// Fatalf ends the goroutine that Run has started.
func (t *tb) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

func (t *tb) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }
func (t *tb) Skip(args ...any)  { t.Fatal(args...) }
