package config

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// Config is one site as its files describe it: every reference resolved, every default filled in, every quantity in
// the unit that its field names. It is not changed after Load and may be read from many goroutines.
type Config struct {
	Site            string
	RequiredVersion string // as written; "" when there is none

	Plugins    []Plugin
	Nodes      []Node
	Diodes     []Diode
	Receivers  []Receiver
	Sinks      []Sink
	Routes     []Route
	Exceptions []Exception

	src     *Sources
	ctx     *hcl.EvalContext
	origins map[string]origin // by address
	now     func() time.Time
}

// origin is where a block came from, so that problems that are found later still have a place.
type origin struct {
	at     hcl.Range
	body   hcl.Body
	config hcl.Body // nil when the block has no config {}
}

// Option changes how Load works.
type Option func(*options)

type options struct {
	version string
	now     func() time.Time
}

// WithVersion gives the version that runs, which gateway.required_version is held against. Without it, or when it is
// no released version ("dev"), every required_version is met.
func WithVersion(version string) Option { return func(o *options) { o.version = version } }

// AtTime fixes the day on which exceptions are judged. Without it Check looks at the clock.
func AtTime(t time.Time) Option { return func(o *options) { o.now = func() time.Time { return t } } }

// Load reads the configuration in a directory. The Config is nil when the Problems have errors; the Sources are never
// nil. Warnings come with a Config.
func Load(dir string, opts ...Option) (*Config, *Sources, Problems) {
	return load(os.DirFS(dir), dir, opts)
}

// LoadFS is Load for a directory that need not be on disk, such as the embedded examples. Files are shown by their
// names alone.
func LoadFS(fsys fs.FS, opts ...Option) (*Config, *Sources, Problems) {
	return load(fsys, "", opts)
}

func load(fsys fs.FS, prefix string, opts []Option) (*Config, *Sources, Problems) {
	o := options{now: time.Now}
	for _, set := range opts {
		set(&o)
	}
	src, problems := readSources(fsys, prefix)
	d := &decoder{src: src, cfg: &Config{src: src, origins: map[string]origin{}, now: o.now}}
	d.checkVersions(o.version)
	if problems = append(problems, d.problems...); problems.HasErrors() {
		return nil, src, problems.sorted()
	}
	for _, phase := range []func(){d.readLocals, d.readHeaders, d.readBlocks, d.crossCheck} {
		phase()
		if d.problems.HasErrors() {
			return nil, src, d.problems.sorted()
		}
	}
	d.cfg.ctx = d.ctx
	return d.cfg, src, d.problems.sorted()
}

// readBlocks decodes the core attributes of every block.
func (d *decoder) readBlocks() {
	for _, h := range d.headers {
		s := d.section(h)
		s.readConfig()
		d.cfg.origins[h.address] = origin{at: h.block.DefRange, body: h.block.Body, config: s.config}
		switch h.word.name {
		case "gateway":
			d.cfg.RequiredVersion = get[string](s, "required_version")
			d.cfg.Site = s.name("site")
		case "plugin":
			d.cfg.Plugins = append(d.cfg.Plugins, decodePlugin(s, h.labels))
		case "node":
			d.cfg.Nodes = append(d.cfg.Nodes, decodeNode(s, h.labels[0]))
		case "diode":
			d.cfg.Diodes = append(d.cfg.Diodes, decodeDiode(s, h.labels[0]))
		case "receiver":
			d.cfg.Receivers = append(d.cfg.Receivers, decodeReceiver(s, h.labels))
		case "sink":
			d.cfg.Sinks = append(d.cfg.Sinks, decodeSink(s, h.labels))
		case "route":
			d.cfg.Routes = append(d.cfg.Routes, decodeRoute(s, h.labels[0]))
		case "exception":
			d.cfg.Exceptions = append(d.cfg.Exceptions, decodeException(s, h.labels[0]))
		}
	}
}

// EvalContext is what expressions in a plugin's body may use: locals and secret("name"). It must not be changed.
func (c *Config) EvalContext() *hcl.EvalContext { return c.ctx }

// Problems gives diagnostics about a body of this configuration, as hcl/schema returns them, their place and words.
// The component is the address of the block that the body belongs to.
func (c *Config) Problems(component string, diags hcl.Diagnostics) Problems {
	problems := c.src.Problems(diags)
	for i := range problems {
		problems[i].Component = component
		if problems[i].Range.Filename == "" {
			problems[i].Range = c.origins[component].at
			problems[i] = c.src.withSnippet(problems[i])
		}
	}
	return problems
}

// FindNode returns the node of a name. The error lists what was probably meant.
func (c *Config) FindNode(name string) (*Node, error) {
	var names []string
	for i := range c.Nodes {
		if c.Nodes[i].Name == name {
			return &c.Nodes[i], nil
		}
		names = append(names, c.Nodes[i].Name)
	}
	return nil, fmt.Errorf("config: there is no node %q; %s", name, value.DidYouMean(name, names))
}

// Receiver returns the receiver of an address such as "receiver.udp.syslog", or nil.
func (c *Config) Receiver(address string) *Receiver {
	for i := range c.Receivers {
		if c.Receivers[i].Address == address {
			return &c.Receivers[i]
		}
	}
	return nil
}

// Sink returns the sink of an address such as "sink.file.archive", or nil.
func (c *Config) Sink(address string) *Sink {
	for i := range c.Sinks {
		if c.Sinks[i].Address == address {
			return &c.Sinks[i]
		}
	}
	return nil
}

// Diode returns the diode of a name, or nil.
func (c *Config) Diode(name string) *Diode {
	for i := range c.Diodes {
		if c.Diodes[i].Name == name {
			return &c.Diodes[i]
		}
	}
	return nil
}
