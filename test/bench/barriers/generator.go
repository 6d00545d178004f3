package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sluice-gateway/sluice/test/bench/load"
)

// generator is the process that sends, at the endpoint: the one of the benchmark of the whole way. It says "ready",
// is told "go", says a load.Sent, and ends with its input.
type generator struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startGenerator returns once it is connected.
func (l *lab) startGenerator(ctx context.Context, kind, address string, count, rate uint64) (*generator, error) {
	cmd := in(ctx, l.endpoint, filepath.Join(l.programs, "bench"), "generate", "-kind", kind, "-address", address, "-ca", l.ca(),
		"-count", fmt.Sprint(count), "-rate", fmt.Sprint(rate), "-seed", fmt.Sprint(l.seed))
	g := &generator{cmd: cmd}
	var err error
	if g.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := g.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		return nil, errors.Join(errors.New("generator: not ready"), err, g.release())
	}
	return g, nil
}

// run lets it send and waits until everything has been written.
func (g *generator) run() (s load.Sent, err error) {
	if _, err := io.WriteString(g.in, "go\n"); err != nil {
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
		return fmt.Errorf("generator: %w", err)
	}
	return nil
}
