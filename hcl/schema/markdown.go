package schema

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sluice-gateway/sluice/hcl/value"
	"github.com/sluice-gateway/sluice/sdk"
)

// Markdown prints a schema as the part of a manual that `sluice plugin docs` shows: one table for config {} and one for
// each nested block.
func Markdown(s sdk.Schema) string {
	var b strings.Builder
	writeBlock(&b, "config", s.Doc, s)
	return b.String()
}

func writeBlock(b *strings.Builder, path, doc string, s sdk.Schema) {
	fmt.Fprintf(b, "### `%s {}`\n\n", path)
	if doc != "" {
		b.WriteString(doc + "\n\n")
	}
	if len(s.Attributes) > 0 {
		b.WriteString("| attribute | type | default | meaning |\n|---|---|---|---|\n")
	}
	for _, a := range s.Attributes {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", a.Name, typeOf(a), defaultText(a), cell(a.Doc+limits(a)))
	}
	if len(s.Attributes) > 0 {
		b.WriteByte('\n')
	}
	for _, n := range s.Blocks {
		doc := n.Doc
		if n.Required {
			doc = strings.TrimSpace(doc + " Required.")
		}
		writeBlock(b, path+"."+n.Name, doc, n.Schema)
	}
}

func typeOf(a sdk.Attribute) string {
	if a.Sensitive {
		return "secret"
	}
	return string(a.Type)
}

func defaultText(a sdk.Attribute) string {
	switch {
	case a.Required:
		return "required"
	case a.Default == nil:
		return "none"
	}
	raw, err := json.Marshal(a.Default)
	if err != nil {
		return "none"
	}
	return "`" + string(raw) + "`"
}

// limits says what a value may be, after the description.
func limits(a sdk.Attribute) string {
	var parts []string
	for _, e := range a.Enum {
		parts = append(parts, fmt.Sprintf("`%q`", e))
	}
	text := ""
	if len(parts) > 0 {
		text = " One of " + strings.Join(parts, ", ") + "."
	}
	t := value.Type(a.Type)
	if a.Min != nil {
		text += " At least " + value.Text(*a.Min, t) + "."
	}
	if a.Max != nil {
		text += " At most " + value.Text(*a.Max, t) + "."
	}
	return text
}

// cell makes a text fit into one cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "\\|")
}
