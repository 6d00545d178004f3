package pluginhost

import (
	"context"
	"os/exec"
	"strconv"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// notWanted is the reason of every layer that Config.Unconfined leaves out.
const notWanted = "left out to measure what it costs"

// open makes a ground that confines nothing.
func (g *ground) open() *ground {
	for _, layer := range sandbox.Layers() {
		g.missing[layer] = notWanted
	}
	g.cgroups = []string{notWanted}
	return g
}

// direct executes the program without the shim. Its orders are never read.
func direct(name string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), "/proc/self/fd/"+strconv.Itoa(sandbox.Image))
	cmd.Args = []string{name}
	return cmd
}
