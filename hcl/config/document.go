package config

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/sluice-gateway/sluice/hcl/value"
)

//go:embed reference_head.md
var referenceHead string

// Reference is the operator's manual of the configuration in Markdown, made from the words that the decoder reads by.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("## Blocks\n\n")
	for _, w := range words() {
		writeBlock(&b, "", w)
	}
	writeProtocols(&b)
	writeWeaknesses(&b)
	return b.String()
}

// writeBlock prints one block and those nested in it.
func writeBlock(b *strings.Builder, outer string, w blockWord) {
	header := w.name
	for _, l := range w.labels {
		header += fmt.Sprintf(" %q", strings.ToUpper(l))
	}
	if outer != "" {
		header = outer + ": " + header
	}
	fmt.Fprintf(b, "### `%s`\n\n%s", header, w.doc)
	if w.required {
		b.WriteString(" Required.")
	}
	b.WriteString("\n\n")
	if len(w.attrs) > 0 {
		b.WriteString("| attribute | type | default | meaning |\n|---|---|---|---|\n")
		for _, a := range w.attrs {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", a.name, typeText(a.typ), a.defaultText(), strings.ReplaceAll(a.doc+a.limitText(), "|", `\|`))
		}
		b.WriteByte('\n')
	}
	for _, n := range w.blocks {
		writeBlock(b, w.name, n)
	}
}

func typeText(t value.Type) string {
	if t == nodeRef {
		return "reference to a node"
	}
	return string(t)
}

func (a attributeWord) defaultText() string {
	switch {
	case a.required:
		return "required"
	case a.defDoc != "":
		return a.defDoc
	case a.def == "":
		return "none"
	default:
		return "`" + a.def + "`"
	}
}

// limitText says what a value may be, after its description.
func (a attributeWord) limitText() string {
	text := ""
	if len(a.enum) > 0 && len(a.enum) < 6 { // a longer list has a table of its own
		text = " One of `\"" + strings.Join(a.enum, "\"`, `\"") + "\"`."
	}
	if a.typ == value.StringList {
		return text
	}
	switch {
	case a.min != nil && a.max != nil:
		text += fmt.Sprintf(" From %s to %s.", value.Text(*a.min, a.typ), value.Text(*a.max, a.typ))
	case a.min != nil:
		text += fmt.Sprintf(" At least %s.", value.Text(*a.min, a.typ))
	}
	return text
}

func writeProtocols(b *strings.Builder) {
	b.WriteString("## Protocols, with and without a diode\n\n" +
		"Which protocols there are depends on the plugins that are installed; what they may be combined with is this table.\n\n" +
		"| protocol | network | without a diode | with a diode |\n|---|---|---|---|\n")
	for _, p := range Protocols() {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, strings.ToUpper(p.Network), p.Direct, p.Diode)
	}
	b.WriteString("\nA KICS sink in telemetry mode takes only UDP receivers with `protocol = \"opaque\"`: a KICS node understands only what its own agents sent.\n\n")
}

// String is the verdict with its reason, as the manual's table shows it.
func (v Verdict) String() string {
	if v.Allowed {
		return "allowed: " + v.Why
	}
	return "**refused**: " + v.Why
}

func writeWeaknesses(b *strings.Builder) {
	b.WriteString("## Exceptions\n\nWhat an `exception` can allow, and on what.\n\n| allows | on | meaning |\n|---|---|---|\n")
	for _, w := range weaknesses() {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", w.name, strings.Join(w.on, ", "), w.doc)
	}
}
