package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/load"
)

// The generator and its parent speak in lines: "ready", "go" from the parent, one JSON load.Sent, and the end of the
// generator's input once its connections may close.
const (
	lineReady = "ready"
	lineGo    = "go"
)

// latencyPatience is how long a message may take to appear before it counts as lost.
const latencyPatience = 5 * time.Second

// job says what to generate. It travels as arguments.
type job struct {
	kind        string // "tls" or "udp"
	address     string
	ca          string
	count, rate uint64
	connections int
	seed        uint64
	tail        string // file in which messages appear; empty: no times are taken
}

func (j job) args() []string {
	return []string{
		generateVerb, "-kind", j.kind, "-address", j.address, "-ca", j.ca, "-count", fmt.Sprint(j.count), "-rate", fmt.Sprint(j.rate),
		"-connections", fmt.Sprint(j.connections), "-seed", fmt.Sprint(j.seed), "-tail", j.tail,
	}
}

// generate is the generator's process.
func generate(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var j job
	f := flag.NewFlagSet(generateVerb, flag.ContinueOnError)
	f.StringVar(&j.kind, "kind", "", "tls or udp")
	f.StringVar(&j.address, "address", "", "where to send")
	f.StringVar(&j.ca, "ca", "", "PEM file with the server's authority")
	f.Uint64Var(&j.count, "count", 0, "messages")
	f.Uint64Var(&j.rate, "rate", 0, "messages per second, 0 for no limit")
	f.IntVar(&j.connections, "connections", 1, "connections")
	f.Uint64Var(&j.seed, "seed", 0, "seed")
	f.StringVar(&j.tail, "tail", "", "file in which messages appear")
	if err := f.Parse(args); err != nil {
		return err
	}
	frames := load.NewFrames(j.seed)
	lines := bufio.NewReader(in)
	var conns *load.Connections
	if j.kind == "tls" {
		var err error
		conns, err = load.Connect(ctx, load.Stream{Address: j.address, CAFile: j.ca, Connections: j.connections, Count: j.count, Rate: j.rate})
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(out, lineReady)
	if _, err := lines.ReadString('\n'); err != nil {
		return err
	}
	sent, err := j.send(ctx, conns, frames)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(sent); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, lines) // until the parent says that everything has been read
	if conns == nil {
		return nil
	}
	return conns.Close()
}

func (j job) send(ctx context.Context, conns *load.Connections, frames *load.Frames) (load.Sent, error) {
	if conns == nil {
		return load.SendUDP(ctx, j.address, frames, j.count, j.rate)
	}
	if j.tail == "" {
		return conns.Send(ctx, frames, nil)
	}
	times := load.NewLatency(j.count)
	tailing, stop := context.WithCancel(ctx)
	defer stop()
	var tailErr error
	var wg sync.WaitGroup
	wg.Go(func() { tailErr = times.Tail(tailing, j.tail) })
	sent, err := conns.Send(ctx, frames, times.OnSend)
	late := time.AfterFunc(latencyPatience, stop)
	wg.Wait()
	late.Stop()
	sent.Times = times.Times()
	if tailErr != nil && !errors.Is(tailErr, context.Canceled) {
		err = errors.Join(err, tailErr)
	}
	return sent, err
}

// generator is the parent's view of a generator's process.
type generator struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	errs *strings.Builder
}

// startGenerator starts the process and waits until it is connected.
func startGenerator(ctx context.Context, j job) (*generator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	g := &generator{cmd: exec.CommandContext(ctx, self, j.args()...), errs: &strings.Builder{}}
	g.cmd.Stderr = g.errs
	if g.in, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.out = bufio.NewReader(out)
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := g.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != lineReady {
		return nil, errors.Join(fmt.Errorf("generator: not ready"), g.release())
	}
	return g, nil
}

// run lets it send and waits until everything has been written. Its connections stay open until release.
func (g *generator) run() (load.Sent, error) {
	var s load.Sent
	if _, err := io.WriteString(g.in, lineGo+"\n"); err != nil {
		return s, fmt.Errorf("generator: %w", err)
	}
	line, err := g.out.ReadBytes('\n')
	if err != nil {
		return s, fmt.Errorf("generator: ended early: %w", err)
	}
	return s, json.Unmarshal(line, &s)
}

// release lets its connections close and waits for its end.
func (g *generator) release() error {
	_ = g.in.Close()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("generator: %w: %s", err, strings.TrimSpace(g.errs.String()))
	}
	return nil
}
