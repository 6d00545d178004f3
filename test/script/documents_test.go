package script_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// TestDocumentedConfigurationsAreAccepted loads every HCL block of every document, and every example, and has the
// plugins that ship check it, so that none can be copied and fail.
func TestDocumentedConfigurationsAreAccepted(t *testing.T) {
	h := newHost(t)
	root := filepath.Join("..", "..")
	sites := map[string]fs.FS{}
	for name, text := range documentedBlocks(t, root) {
		sites[name] = fstest.MapFS{"site.hcl": {Data: []byte(completed(text))}}
	}
	for _, dir := range []string{"quickstart", "substation-7"} {
		sites["hcl/examples/"+dir] = os.DirFS(filepath.Join(root, "hcl", "examples", dir))
	}
	if len(sites) < 7 {
		t.Fatalf("only %d documents with a configuration were found", len(sites))
	}
	for name, site := range sites {
		t.Run(name, func(t *testing.T) {
			cfg, _, problems := config.LoadFS(site)
			if cfg == nil || problems.HasErrors() {
				t.Fatal(problems)
			}
			if _, problems = gateway.Check(t.Context(), cfg, h, ""); problems.HasErrors() {
				t.Error(problems)
			}
		})
	}
}

// documentedBlocks returns the HCL blocks of all documents, by file and number.
func documentedBlocks(t *testing.T, root string) map[string]string {
	t.Helper()
	block := regexp.MustCompile("(?s)```hcl\n(.*?)```")
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || slices.Contains([]string{"bin", "var", "dist"}, d.Name())) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		for i, m := range block.FindAllSubmatch(text, -1) {
			out[fmt.Sprintf("%s block %d", name, i+1)] = string(m[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// completed adds what a fragment leaves out because every site has it: the gateway, nodes, a route, and the exception
// that a receiver in the clear needs. A whole site stays as it is.
func completed(text string) string {
	if strings.Contains(text, "gateway {") {
		return text
	}
	text += "\ngateway { site = \"document\" }\n"
	var nodes []string
	for _, m := range regexp.MustCompile(`node\.([a-z0-9-]+)`).FindAllStringSubmatch(text, -1) {
		nodes = append(nodes, m[1])
	}
	slices.Sort(nodes)
	for _, n := range slices.Compact(nodes) {
		text += fmt.Sprintf("node %q {}\n", n)
	}
	for i, m := range regexp.MustCompile(`(?m)^receiver "([a-z]+)" "([a-z0-9-]+)"`).FindAllStringSubmatch(text, -1) {
		text += fmt.Sprintf("route \"r%[1]d\" {\n  from = [receiver.%[2]s.%[3]s]\n  to = [sink.file.f%[1]d]\n}\n", i, m[1], m[2])
		text += fmt.Sprintf("sink \"file\" \"f%d\" {\n  node = node.%s\n  config { path = \"x\" }\n}\n", i, nodes[0])
		if m[1] == "udp" && !strings.Contains(text, "by-endpoint") {
			text += fmt.Sprintf("exception \"e%d\" {\n  allows = \"unencrypted_udp\"\n  on = receiver.udp.%s\n  reason = \"r\"\n  approved_by = \"a\"\n  until = \"2099-01-01\"\n}\n", i, m[2])
		}
	}
	return text
}
