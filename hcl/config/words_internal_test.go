package config

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// TestEveryDefaultIsValid: a default is written as an operator would write it and obeys its own limits.
func TestEveryDefaultIsValid(t *testing.T) {
	var walk func(path string, w blockWord)
	walk = func(path string, w blockWord) {
		if w.doc == "" {
			t.Errorf("%s has no description", path)
		}
		for _, a := range w.attrs {
			checkAttributeWord(t, path+"."+a.name, a)
		}
		for _, n := range w.blocks {
			walk(path+"."+n.name, n)
		}
	}
	for _, w := range words() {
		walk(w.name, w)
	}
}

func checkAttributeWord(t *testing.T, path string, a attributeWord) {
	t.Helper()
	if a.doc == "" || a.required && (a.def != "" || a.defDoc != "") {
		t.Errorf("%s: no description, or required with a default", path)
	}
	if a.def == "" || !a.typ.Known() {
		return
	}
	e, diags := hclsyntax.ParseExpression([]byte(a.def), "default", hcl.InitialPos)
	if diags.HasErrors() {
		t.Errorf("%s: %v", path, diags)
		return
	}
	if _, diags := value.Read(e, nil, a.typ, value.Limits{Enum: a.enum, Min: a.min, Max: a.max}); diags.HasErrors() {
		t.Errorf("%s: %v", path, diags)
	}
}

func TestSatisfies(t *testing.T) {
	for _, x := range []struct {
		version, constraint string
		ok                  bool
	}{
		{"0.1.0", ">= 0.1", true},
		{"0.1.0", "> 0.1", false},
		{"v1.2.3", "~> 1.2", true},
		{"1.9.0", "~> 1.2", true},
		{"2.0.0", "~> 1.2", false},
		{"1.2.9", "~> 1.2.3", true},
		{"1.3.0", "~> 1.2.3", false},
		{"1.2.2", "~> 1.2.3", false},
		{"1.5.0", ">= 1, < 2", true},
		{"2.1.0", ">= 1, < 2", false},
		{"1.0.0", "1", true},
		{"1.0.1", "= 1", false},
		{"1.0.1", "!= 1.0.1", false},
		{"1.0.1", "<= 1.0.1", true},
		{"dev", ">= 99", true},
		{"", ">= 99", true},
	} {
		ok, err := satisfies(x.version, x.constraint)
		if err != nil || ok != x.ok {
			t.Errorf("%q %q: %t %v", x.version, x.constraint, ok, err)
		}
	}
	for _, bad := range []string{"", "newest", ">= ", "=> 1", "1.2.3.4", ">= 1,"} {
		if _, err := satisfies("1.0.0", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
