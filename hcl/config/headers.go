package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// header is a block at the top of a file with its address, before anything inside it was looked at.
type header struct {
	word    blockWord
	address string // "node.gw-plant", "receiver.udp.syslog"; the key of the block
	labels  []string
	block   *hcl.Block
}

// validName is what a name of a block may look like: it stands unquoted in references, in file names of the spool and
// in metrics.
var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// readHeaders collects the blocks of all files and checks their names. Every object stands once: nothing is merged.
func (d *decoder) readHeaders() {
	schema := &hcl.BodySchema{}
	byName := map[string]blockWord{}
	var known []string
	for _, w := range words() {
		schema.Blocks = append(schema.Blocks, hcl.BlockHeaderSchema{Type: w.name, LabelNames: w.labels})
		byName[w.name] = w
		known = append(known, w.name)
	}
	for _, f := range d.src.files {
		content, diags := f.body.Content(schema)
		for _, p := range d.src.Problems(diags) {
			if p.Rule == "labels" {
				p.Advice = adviceOnLabels(p, byName)
			}
			if p.Advice == "" {
				p.Advice = "the blocks are: " + strings.Join(known, ", ")
			}
			d.add(p)
		}
		for _, b := range content.Blocks {
			d.addHeader(byName[b.Type], b)
		}
	}
	if d.find("gateway") == nil && len(d.problems) == 0 {
		d.add(d.src.fileProblem("", "missing-block", "there is no gateway block", `write gateway { site = "name-of-the-site" }`))
	}
}

// adviceOnLabels shows how the header of a block is written.
func adviceOnLabels(p Problem, byName map[string]blockWord) string {
	for name, w := range byName {
		if !strings.Contains(p.Text, "block "+name+" ") {
			continue
		}
		var header strings.Builder
		header.WriteString(name)
		for _, label := range w.labels {
			fmt.Fprintf(&header, " %q", strings.ToUpper(label))
		}
		return "write it as in " + header.String() + " { … }"
	}
	return p.Advice
}

func (d *decoder) addHeader(w blockWord, b *hcl.Block) {
	if w.open { // locals were read before
		return
	}
	h := header{word: w, address: strings.Join(append([]string{w.name}, b.Labels...), "."), labels: b.Labels, block: b}
	for i, label := range b.Labels {
		if !validName.MatchString(label) {
			d.add(Problem{
				Range: labelRange(b, i), Rule: "name", Text: fmt.Sprintf("%q cannot be a name", label),
				Advice: "names begin with a small letter and go on with small letters, digits, - and _; at most 63",
			})
			return
		}
	}
	if first := d.find(h.address); first != nil {
		d.add(Problem{
			Range: b.DefRange, Rule: "duplicate", Component: h.address, Text: h.address + " stands twice",
			Advice: "the other one is at " + place(first.block.DefRange) + "; blocks are never merged: leave one of them out",
		})
		return
	}
	d.headers = append(d.headers, h)
}

func labelRange(b *hcl.Block, i int) hcl.Range {
	if i < len(b.LabelRanges) {
		return b.LabelRanges[i]
	}
	return b.DefRange
}

// find returns the header of an address, or nil.
func (d *decoder) find(address string) *header {
	i := slices.IndexFunc(d.headers, func(h header) bool { return h.address == address })
	if i < 0 {
		return nil
	}
	return &d.headers[i]
}

// addresses lists the objects of some kinds, for suggestions.
func (d *decoder) addresses(kinds ...string) []string {
	var out []string
	for _, h := range d.headers {
		if slices.Contains(kinds, h.word.name) {
			out = append(out, h.address)
		}
	}
	return out
}

// section opens the body of a header.
func (d *decoder) section(h header) *section {
	return d.open(h.word, h.address, h.block.Body, h.block.DefRange)
}
