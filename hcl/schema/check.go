package schema

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"

	"github.com/sluice-gateway/sluice/hcl/value"
	"github.com/sluice-gateway/sluice/sdk"
)

// Bounds on a schema, which comes from a plugin and is not trusted.
const (
	maxDepth = 8   // of nested blocks
	maxWords = 500 // attributes and blocks together
)

var word = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Check reports what is wrong with a schema itself: names that cannot be written, types that do not exist, defaults
// that break their own rules. A plugin's own test calls it; Decode does too, since a schema comes from another process.
func Check(s sdk.Schema) error {
	words := 0
	return check(s, "", 0, &words)
}

func check(s sdk.Schema, path string, depth int, words *int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: blocks are nested more than %d deep", path, maxDepth)
	}
	if *words += len(s.Attributes) + len(s.Blocks); *words > maxWords {
		return fmt.Errorf("more than %d attributes and blocks", maxWords)
	}
	seen := map[string]bool{}
	var all []error
	for _, a := range s.Attributes {
		all = append(all, checkName(path+a.Name, a.Name, seen), checkAttribute(path+a.Name, a))
	}
	for _, b := range s.Blocks {
		all = append(all, checkName(path+b.Name, b.Name, seen), check(b.Schema, path+b.Name+".", depth+1, words))
	}
	return errors.Join(all...)
}

func checkName(path, name string, seen map[string]bool) error {
	if !word.MatchString(name) {
		return fmt.Errorf("%s: %q cannot be a name", path, name)
	}
	if seen[name] {
		return fmt.Errorf("%s: the name stands twice", path)
	}
	seen[name] = true
	return nil
}

func checkAttribute(path string, a sdk.Attribute) error {
	switch {
	case !value.Type(a.Type).Known():
		return fmt.Errorf("%s: there is no type %q", path, a.Type)
	case a.Sensitive && a.Type != sdk.TypeString:
		return fmt.Errorf("%s: a secret is a string", path)
	case a.Sensitive && a.Default != nil:
		return fmt.Errorf("%s: a secret has no default", path)
	case a.Required && a.Default != nil:
		return fmt.Errorf("%s: what is required has no default", path)
	}
	if _, diags := defaultOf(a); diags.HasErrors() {
		return fmt.Errorf("%s: the default: %s", path, diags[0].Summary)
	}
	return nil
}

// defaultValue turns a default, which may have come through JSON, into the value that an expression would have had.
func defaultValue(def any) (cty.Value, error) {
	switch d := def.(type) {
	case []string:
		return stringList(d), nil
	case []any:
		list := make([]string, 0, len(d))
		for _, e := range d {
			text, ok := e.(string)
			if !ok {
				return cty.NilVal, fmt.Errorf("%v is no text", e)
			}
			list = append(list, text)
		}
		return stringList(list), nil
	}
	t, err := gocty.ImpliedType(def)
	if err != nil {
		return cty.NilVal, fmt.Errorf("%T is no type of a default: %w", def, err)
	}
	return gocty.ToCtyValue(def, t)
}

func stringList(list []string) cty.Value {
	if len(list) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	out := make([]cty.Value, len(list))
	for i, s := range list {
		out[i] = cty.StringVal(s)
	}
	return cty.ListVal(out)
}
