package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// linkRun is what the benchmark of the link says of one run.
type linkRun struct {
	Fenced   bool    `json:"fenced"`
	MBps     float64 `json:"mb_per_s"`
	CPUPerGB float64 `json:"cpu_s_per_gb"`
	Intact   bool    `json:"intact"`
	Rate     uint64  `json:"rate"`
}

// linkPrefix begins the line of a run.
const linkPrefix = "RUN "

// link runs the benchmark of the link, which alternates runs with a fence at both ends and without.
func link(ctx context.Context, o options, out io.Writer) (p pairOf[linkRun], err error) {
	args := []string{"-fenced", "-runs", fmt.Sprint(o.rounds)}
	if o.quick {
		args = append(args, "-size", "256000000")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.programs, "diode"), args...)
	cmd.Env = append(os.Environ(), "UPDATE=0", "QUICK=0")
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return p, err
	}
	if err := cmd.Start(); err != nil {
		return p, err
	}
	for s := bufio.NewScanner(lines); s.Scan(); {
		text, found := strings.CutPrefix(s.Text(), linkPrefix)
		if !found {
			fmt.Fprintln(out, s.Text())
			continue
		}
		var r linkRun
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return p, err
		}
		if r.Fenced {
			p.on = append(p.on, r)
		} else {
			p.off = append(p.off, r)
		}
	}
	return p, cmd.Wait()
}
