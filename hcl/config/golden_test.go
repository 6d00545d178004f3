package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/hcl/value"
)

var update = flag.Bool("update", false, "write the golden files and docs/configuration.md anew")

// today is the day on which every golden configuration is judged.
func today() config.Option { return config.AtTime(time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)) }

// loadText loads one file as a whole configuration.
func loadText(name, text string) (*config.Config, config.Problems) {
	c, _, problems := config.LoadFS(fstest.MapFS{name: {Data: []byte(text), Mode: 0o600}}, config.WithVersion("0.1.0"), today())
	return c, problems
}

// traitsOf stands in for the plugins: it reads protocol, mode, encryption and tls as they would.
func traitsOf(c *config.Config) map[string]config.Traits {
	traits := map[string]config.Traits{}
	for _, r := range c.Receivers {
		t := config.Traits{Protocol: text(r.Config, "protocol"), Network: "tcp", Encryption: text(r.Config, "encryption"), Kind: "syslog"}
		if r.Plugin == "udp" || t.Protocol == "sealed" {
			t.Network = "udp"
		}
		if t.Protocol == "sealed" {
			t.Encryption = "sealed"
		}
		if hasBlock(r.Config, "tls") {
			t.Encryption = "tls"
		}
		traits[r.Address] = t
	}
	for _, s := range c.Sinks {
		t := config.Traits{Protocol: s.Plugin, Kind: "any", Delivery: "written"}
		switch s.Plugin {
		case "kics":
			t = config.Traits{Protocol: "kics-" + text(s.Config, "mode"), Kind: "opaque", Delivery: "sent"}
		case "picky":
			t.AcceptsProtocols = []string{"relp", "envelope"}
		case "absent":
			continue
		}
		traits[s.Address] = t
	}
	return traits
}

func text(body hcl.Body, name string) string {
	content, _, _ := body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: name}}})
	a, there := content.Attributes[name]
	if !there {
		return ""
	}
	v, _ := value.Read(a.Expr, nil, value.String, value.Limits{})
	s, _ := v.(string)
	return s
}

func hasBlock(body hcl.Body, name string) bool {
	content, _, _ := body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: name}}})
	return len(content.Blocks) > 0
}

// loadAndCheck is what `sluice validate` does, with traits given by hand.
func loadAndCheck(name, text string) config.Problems {
	c, problems := loadText(name, text)
	if c == nil {
		return problems
	}
	return append(problems, config.Check(c, traitsOf(c))...)
}

// TestGolden holds one malformed configuration per rule against the message that an operator sees. good_*.hcl must
// have no problem at all.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.hcl*")
	if err != nil || len(names) < 60 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, path := range names {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := loadAndCheck(name, string(src)).String()
			if strings.HasPrefix(name, "good_") {
				if got != "" {
					t.Errorf("problems:\n%s", got)
				}
				return
			}
			if got == "" {
				t.Error("no problem found")
			}
			compareGolden(t, strings.TrimSuffix(strings.TrimSuffix(path, ".json"), ".hcl")+".golden", got)
		})
	}
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update to accept):\n--- got\n%s--- want\n%s", path, got, want)
	}
}
