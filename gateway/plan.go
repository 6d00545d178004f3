package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/hcl/schema"
	"github.com/sluice-gateway/sluice/sdk"
)

// Describer is what Check needs of a plugin host: what a plugin is, and what it says of a body.
type Describer interface {
	Describe(ctx context.Context, kind, name string) (sdk.Info, error)
	Validate(ctx context.Context, kind, name string, body json.RawMessage) (sdk.Traits, []sdk.Problem, error)
}

// Plan is a configuration that has been checked with its plugins: what each component was configured with, by address.
type Plan struct {
	Config *config.Config
	parts  map[string]part
}

// part is one receiver or sink as its plugin sees it.
type part struct {
	body   json.RawMessage
	schema sdk.Schema
	traits sdk.Traits
}

// Check decodes every body `config {}` by its plugin's schema, lets the plugin validate it, and holds the whole
// configuration against what the plugins say. Plugins of other nodes may be missing: their components are left out.
// node "" stands for all nodes.
func Check(ctx context.Context, cfg *config.Config, d Describer, node string) (*Plan, config.Problems) {
	c := &checking{ctx: ctx, cfg: cfg, describer: d, node: node, plan: &Plan{Config: cfg, parts: map[string]part{}}}
	for i := range cfg.Receivers {
		if r := &cfg.Receivers[i]; r.Enabled {
			c.component(component{r.Address, sdk.KindReceiver, r.Plugin, r.Node, r.Config})
		}
	}
	for i := range cfg.Sinks {
		if s := &cfg.Sinks[i]; s.Enabled {
			c.component(component{s.Address, sdk.KindSink, s.Plugin, s.Node, s.Config})
		}
	}
	traits := map[string]config.Traits{}
	for address, p := range c.plan.parts {
		traits[address] = config.Traits(p.traits)
	}
	return c.plan, append(c.problems, config.Check(cfg, traits)...)
}

type checking struct {
	ctx       context.Context //nolint:containedctx // lives for one call of Check
	cfg       *config.Config
	describer Describer
	node      string
	plan      *Plan
	problems  config.Problems
}

func (c *checking) component(p component) {
	info, err := c.describer.Describe(c.ctx, p.kind, p.plugin)
	if err != nil {
		c.missing(p, err)
		return
	}
	body, diags := schema.Decode(p.body, info.Schema, c.cfg.EvalContext())
	c.problems = append(c.problems, c.cfg.Problems(p.address, diags)...)
	if diags.HasErrors() {
		return
	}
	traits, problems, err := c.describer.Validate(c.ctx, p.kind, p.plugin, body)
	if err != nil {
		c.problems = append(c.problems, c.cfg.ProblemAt(p.address, errorPath(err), err.Error(), ""))
		return
	}
	for _, q := range problems {
		c.problems = append(c.problems, c.cfg.ProblemAt(p.address, q.Path, q.Error(), q.Advice))
	}
	if len(problems) == 0 {
		c.plan.parts[p.address] = part{body: body, schema: info.Schema, traits: traits}
	}
}

// missing reports a plugin that cannot be asked. On another node's behalf that is only a warning: that node will say.
func (c *checking) missing(p component, err error) {
	q := c.cfg.ProblemAt(p.address, nil, err.Error(), "")
	if absent, ok := errors.AsType[*pluginhost.NotInstalledError](err); ok {
		q.Text, q.Advice = fmt.Sprintf("plugin %s %q is not installed", p.kind, p.plugin), absent.Error()
		if c.node != "" && c.node != p.node {
			q.Severity = config.Warning
			q.Advice = "it is not needed on this node, but what depends on it could not be checked here"
		}
	}
	c.problems = append(c.problems, q)
}

type component struct {
	address, kind, plugin, node string
	body                        hcl.Body
}

// Label is the short name of a component: its address without the block's name, "udp.kics-agents".
func Label(address string) string {
	_, label, _ := strings.Cut(address, ".")
	return label
}

func labels(addresses []string) []string {
	out := make([]string, 0, len(addresses))
	for _, a := range addresses {
		out = append(out, Label(a))
	}
	return out
}

func errorPath(err error) []string {
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		return slices.Clone(e.Path)
	}
	return nil
}

// Close takes a component out of the plan: it will not be opened.
func (p *Plan) Close(address string) { delete(p.parts, address) }
