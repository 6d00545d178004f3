package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/hcl/config"
)

const referencePath = "../../docs/configuration.md"

func TestReferenceIsFresh(t *testing.T) {
	compareGolden(t, referencePath, config.Reference())
}

// TestReferenceExamplesLoad takes every HCL block of the manual for a whole configuration.
func TestReferenceExamplesLoad(t *testing.T) {
	parts := strings.Split(config.Reference(), "```hcl\n")
	if len(parts) < 2 {
		t.Fatal("the manual has no example")
	}
	for _, p := range parts[1:] {
		example, _, _ := strings.Cut(p, "```")
		if problems := loadAndCheck("example.hcl", example); len(problems) > 0 {
			t.Errorf("%s", problems)
		}
		if string(config.Format([]byte(example))) != example {
			t.Error("the example is not in canonical form")
		}
	}
}

func TestReferenceNamesEveryProtocol(t *testing.T) {
	text, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range config.Protocols() {
		if !strings.Contains(string(text), "| `"+p.Name+"` | "+strings.ToUpper(p.Network)) {
			t.Errorf("%s over %s is missing", p.Name, p.Network)
		}
	}
}
