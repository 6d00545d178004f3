package config

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// attributeWord describes one attribute of the core: the decoder and the reference manual are made from it.
type attributeWord struct {
	name     string
	typ      value.Type // or one of the reference types below
	required bool
	def      string // the default as written in HCL; "" = none
	defDoc   string // said in the manual instead of def, where the default depends on something
	enum     []string
	min, max *float64 // in the base unit of the type
	doc      string
}

// References are types of the core only: they are resolved here and never evaluated.
const (
	nodeRef      value.Type = "node"
	diodeRefs    value.Type = "diode or list of diodes"
	receiverRefs value.Type = "list of receivers"
	sinkRefs     value.Type = "list of sinks"
	componentRef value.Type = "reference"
)

// blockWord describes one block.
type blockWord struct {
	name     string
	labels   []string // what each label is called in the manual
	required bool     // of a nested block
	plugin   bool     // has a config {} block that only the plugin understands
	open     bool     // any attribute may stand in it: locals
	doc      string
	attrs    []attributeWord
	blocks   []blockWord
}

// words are the blocks that may stand at the top of a file, in the order of the manual.
func words() []blockWord {
	return []blockWord{
		gatewayWord(), localsWord(), pluginWord(), nodeWord(), diodeWord(), receiverWord(), sinkWord(), routeWord(), exceptionWord(),
	}
}

// schema is the block as HCL's decoder wants it. Nothing is required there: what is missing is said by section.
func (w blockWord) schema() *hcl.BodySchema {
	s := &hcl.BodySchema{}
	for _, a := range w.attrs {
		s.Attributes = append(s.Attributes, hcl.AttributeSchema{Name: a.name})
	}
	for _, b := range w.blocks {
		s.Blocks = append(s.Blocks, hcl.BlockHeaderSchema{Type: b.name, LabelNames: b.labels})
	}
	if w.plugin {
		s.Blocks = append(s.Blocks, hcl.BlockHeaderSchema{Type: configBlock})
	}
	return s
}

// configBlock holds what only the plugin understands.
const configBlock = "config"

// attr returns the attribute of that name, or an empty one.
func (w blockWord) attr(name string) attributeWord {
	for _, a := range w.attrs {
		if a.name == name {
			return a
		}
	}
	return attributeWord{}
}

// block returns the nested block of that name, or an empty one.
func (w blockWord) block(name string) blockWord {
	for _, b := range w.blocks {
		if b.name == name {
			return b
		}
	}
	return blockWord{}
}

// known lists what may stand in the block, for suggestions.
func (w blockWord) known() []string {
	var names []string
	for _, a := range w.attrs {
		names = append(names, a.name)
	}
	for _, b := range w.blocks {
		names = append(names, b.name+" {}")
	}
	if w.plugin {
		names = append(names, configBlock+" {}")
	}
	return names
}

func gatewayWord() blockWord {
	return blockWord{
		name: "gateway",
		doc:  "The site as a whole. Exactly one in a configuration.",
		attrs: []attributeWord{
			{
				name: "required_version", typ: value.String,
				doc: `The versions of Sluice that may use this configuration, such as ">= 0.1" or "~> 1.2". Read before anything else; a plain text, no local.`,
			},
			{name: "site", typ: value.String, required: true, doc: "The site's name. It is part of records, of status and of the identity of links."},
		},
	}
}

func localsWord() blockWord {
	return blockWord{
		name: "locals",
		open: true,
		doc: "Values with names of your choice, used elsewhere as `local.NAME`. They may use each other. Put what differs between two sites " +
			"into a `locals` block in a file of its own.",
	}
}

func pluginWord() blockWord {
	return blockWord{
		name:   "plugin",
		labels: []string{"kind", "name"},
		doc:    "Pins a plugin. Write one only to pin: a plugin that is not named here is used in the version that is installed. The kind is `receiver` or `sink`.",
		attrs: []attributeWord{
			{name: "version", typ: value.String, doc: "The one version that may be used."},
			{name: "sha256", typ: value.String, doc: "SHA-256 of the plugin's program, 64 hexadecimal digits. Any other program is refused."},
		},
	}
}

func nodeWord() blockWord {
	return blockWord{
		name:   "node",
		labels: []string{"name"},
		doc:    "One machine that runs `sluice`. One configuration serves all nodes of a site; each knows its own name.",
		attrs: []attributeWord{
			{
				name: "monitoring_points", typ: value.StringList, def: "[]",
				doc: "Interfaces that only listen to mirrored plant traffic: a name, an alternative name, `mac:…` or `path:…`. Nothing is received on them for Sluice and nothing of Sluice leaves by them.",
			},
			{
				name: "service_interfaces", typ: value.StringList, def: "[]", defDoc: "every interface that is neither a monitoring point nor a diode's",
				doc: "Interfaces on which receivers listen and sinks connect. Where it is given, all others are closed.",
			},
			{
				name: "new_interfaces", typ: value.String, def: `"closed"`, enum: []string{"closed", "service"},
				doc: "What an interface is that was not there when Sluice first ran on this machine: `closed` until it is named here or accepted by `sluice interfaces accept`, or `service` at once.",
			},
			{
				name: "isolate", typ: value.String, def: `"none"`, enum: []string{IsolateNone, IsolateNamespace},
				doc: "`namespace` moves the monitoring points into a network namespace of their own, so that nothing else on this machine can reach them. A sensor on the same machine then does not see them, either.",
			},
		},
		blocks: []blockWord{spoolWord(), sandboxWord()},
	}
}

func sandboxWord() blockWord {
	return blockWord{
		name: "sandbox",
		doc:  "What each plugin of the node may use. The limits need control groups that are delegated to Sluice, as its systemd unit does; `sluice status` names what is not held.",
		attrs: []attributeWord{
			{name: "memory", typ: value.Bytes, def: `"1GiB"`, min: new(float64(64 << 20)), doc: "Memory of one plugin. Above it the kernel ends the plugin, which is started again."},
			{name: "processes", typ: value.Int, def: "256", min: new(float64(32)), max: new(float64(4096)), doc: "Processes and threads of one plugin."},
			{name: "cpus", typ: value.Number, def: "0", min: new(float64(0)), max: new(float64(1024)), doc: "Processor cores that one plugin may keep busy, 0 for all."},
		},
	}
}

func spoolWord() blockWord {
	return blockWord{
		name: "spool",
		doc:  "The durable queue on the node's disk.",
		attrs: []attributeWord{
			{name: "max_size", typ: value.Bytes, def: `"10GiB"`, min: new(float64(16 << 20)), doc: "Disk space of the spool. At least two segments."},
			{
				name: "when_full", typ: value.String, enum: []string{"refuse", "drop-new", "drop-oldest"}, defDoc: "`\"refuse\"`; `\"drop-new\"` on a node that receives from a diode",
				doc: "What happens when the spool is full. `refuse`: TCP clients wait; UDP cannot be told: its records are dropped, counted and shown. `drop-new`, `drop-oldest`: records are dropped, counted and shown. Behind a diode nobody can be asked to wait, so `refuse` is an error there.",
			},
			{name: "segment_size", typ: value.Bytes, def: `"64MiB"`, min: new(float64(1 << 20)), max: new(float64(1 << 30)), doc: "Size of one file of the spool. Space is given back in whole segments."},
			{name: "keep_delivered", typ: value.Duration, def: `"0s"`, doc: "How long records stay after every sink has them. Given up before anything undelivered is refused or dropped."},
		},
	}
}
