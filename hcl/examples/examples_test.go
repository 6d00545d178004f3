package examples_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/hcl/examples"
)

// exampleDirs lists the directories beside this test: a new example is loaded without being named here.
func exampleDirs(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	if len(dirs) < 2 {
		t.Fatalf("found only %v", dirs)
	}
	return dirs
}

func TestEveryExampleLoads(t *testing.T) {
	for _, dir := range exampleDirs(t) {
		t.Run(dir, func(t *testing.T) {
			c, _, problems := config.LoadFS(os.DirFS(dir), config.WithVersion("0.1.0"))
			if len(problems) > 0 {
				t.Fatalf("an example has problems:\n%s", problems)
			}
			if c.Site != dir {
				t.Errorf("the site is %q, its directory %q", c.Site, dir)
			}
		})
	}
}

func TestEveryExampleIsFormattedAndExplained(t *testing.T) {
	for _, dir := range exampleDirs(t) {
		files, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(src, config.Format(src)) {
				t.Errorf("%s is not in canonical form", name)
			}
			if !bytes.HasPrefix(src, []byte("# ")) {
				t.Errorf("%s does not begin with a comment that explains it", name)
			}
		}
	}
}

func TestQuickstartIsEmbedded(t *testing.T) {
	c, src, problems := config.LoadFS(examples.Quickstart())
	if len(problems) > 0 {
		t.Fatalf("problems:\n%s", problems)
	}
	if len(src.Names()) != 5 {
		t.Errorf("files: %v", src.Names())
	}
	plant, dmz := c.For("plant"), c.For("dmz")
	if len(plant.Receivers) != 3 || len(plant.Send) != 1 || len(plant.Send[0].Receivers) != 3 {
		t.Errorf("plant: %+v", plant)
	}
	if len(dmz.Sinks) != 1 || len(dmz.Sinks[0].Receivers) != 3 || len(dmz.Receive) != 1 {
		t.Errorf("dmz: %+v", dmz)
	}
}

// traits is what the plugins of the examples say of their bodies, given by hand.
func traits() map[string]config.Traits {
	file := config.Traits{Protocol: "file", Kind: "any", Delivery: "written"}
	return map[string]config.Traits{
		"receiver.udp.syslog":      {Protocol: "syslog", Network: "udp", Encryption: "none", Kind: "syslog"},
		"receiver.udp.kics-agents": {Protocol: "opaque", Network: "udp", Encryption: "by-endpoint", Kind: "opaque"},
		"receiver.tcp.syslog-tls":  {Protocol: "syslog", Network: "tcp", Encryption: "tls", Kind: "syslog"},
		"sink.kics.node-a":         {Protocol: "kics-telemetry", Network: "udp", Kind: "opaque", Delivery: "sent"},
		"sink.file.records":        file,
		"sink.file.archive":        file,
	}
}

// TestExamplesPassTheChecks holds the examples against the rules that need traits, with nothing to warn about.
func TestExamplesPassTheChecks(t *testing.T) {
	for dir, encryption := range map[string]string{"quickstart": "none", "substation-7": "tls"} {
		c, _, problems := config.LoadFS(os.DirFS(dir))
		if len(problems) > 0 {
			t.Fatalf("%s:\n%s", dir, problems)
		}
		known := traits()
		known["receiver.tcp.syslog"] = config.Traits{Protocol: "syslog", Network: "tcp", Encryption: encryption, Kind: "syslog"}
		if problems := config.Check(c, known); len(problems) > 0 {
			t.Errorf("%s:\n%s", dir, problems)
		}
	}
}
