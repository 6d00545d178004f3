package gateway

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// grants lists what a component's plugin may see of the disk: its private directory, and what the operator wrote into
// attributes that its schema calls files. A file to write stands for its directory.
func (g *Gateway) grants(address string, p part, private string) ([]pluginhost.Grant, error) {
	read, write, err := sdk.PathsOf(p.schema, p.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	out := []pluginhost.Grant{{Path: private, Write: true}}
	for _, path := range read {
		out = append(out, pluginhost.Grant{Path: g.resolve(path)})
	}
	for _, path := range write {
		dir := filepath.Dir(g.resolve(path))
		if why := g.ours(dir); why != "" {
			return nil, fmt.Errorf("%s: %q: its directory %s %s: write into a directory of its own, such as %q",
				address, path, dir, why, filepath.Join("out", filepath.Base(path)))
		}
		out = append(out, pluginhost.Grant{Path: dir, Write: true})
	}
	return out, nil
}

// resolve makes a path of the configuration absolute, as sdk.Setup.Path does for the plugin.
func (g *Gateway) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(g.opts.StateDir, path)
}

// ours says why a plugin may not have a directory to write into, or nothing: it would reach what the gateway keeps there.
func (g *Gateway) ours(dir string) string {
	if within(g.opts.StateDir, dir) {
		return "holds the gateway's own state"
	}
	own := []string{"keys", "run"}
	for _, n := range g.opts.Plan.Config.Nodes {
		own = append(own, n.Name)
	}
	for _, name := range own {
		if within(dir, filepath.Join(g.opts.StateDir, name)) {
			return "is part of the gateway's own state"
		}
	}
	return ""
}

// within reports whether path is dir or below it. Both are clean and absolute.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
