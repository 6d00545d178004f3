package config_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-gateway/sluice/hcl/config"
)

const minimal = "gateway {\n  site = \"test\"\n}\n"

// file is a configuration file that nobody else may write.
func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o600} }

func writeDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// onlyProblem returns the one problem of a list.
func onlyProblem(t *testing.T, problems config.Problems) config.Problem {
	t.Helper()
	if len(problems) != 1 {
		t.Fatalf("%d problems:\n%s", len(problems), problems)
	}
	return problems[0]
}

func TestLoadTakesTheRightFilesInLexicalOrder(t *testing.T) {
	dir := writeDir(t, map[string]string{
		"20-b.hcl":        "node \"b\" {}\n",
		"10-a.hcl":        minimal,
		"30-c.hcl.json":   `{"node": {"c": {}}}`,
		".hidden.hcl":     "this is not read {{{",
		"backup.hcl~":     "this is not read {{{",
		"#lock.hcl#":      "this is not read {{{",
		"README.md":       "this is not read {{{",
		"values.json":     "this is not read {{{",
		"variables.hcl.x": "this is not read {{{",
	})
	if err := os.Mkdir(filepath.Join(dir, "sub.hcl"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, src, problems := config.Load(dir)
	if len(problems) > 0 {
		t.Fatalf("problems:\n%s", problems)
	}
	want := []string{filepath.Join(dir, "10-a.hcl"), filepath.Join(dir, "20-b.hcl"), filepath.Join(dir, "30-c.hcl.json")}
	if got := src.Names(); !slices.Equal(got, want) {
		t.Errorf("read %v", got)
	}
	if len(c.Nodes) != 2 || c.Nodes[0].Name != "b" || c.Nodes[1].Name != "c" {
		t.Errorf("nodes %+v", c.Nodes)
	}
}

func TestLoadRefusesWritableFiles(t *testing.T) {
	dir := writeDir(t, map[string]string{"site.hcl": minimal})
	path := filepath.Join(dir, "site.hcl")
	for _, mode := range []os.FileMode{0o620, 0o602, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c, _, problems := config.Load(dir)
		p := onlyProblem(t, problems)
		if c != nil || p.Rule != "file-mode" || p.Place() != path || !strings.Contains(p.Advice, "chmod go-w "+path) {
			t.Errorf("%04o: %v", mode, p)
		}
	}
}

func TestLoadOfNothing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, src, problems := config.Load(missing)
	if p := onlyProblem(t, problems); p.Place() != missing || src == nil {
		t.Errorf("missing: %v", p)
	}
	_, _, problems = config.Load(t.TempDir())
	if p := onlyProblem(t, problems); !strings.Contains(p.Text, "no *.hcl file") {
		t.Errorf("empty: %v", p)
	}
}

func TestTheSameObjectInTwoFilesNamesBoth(t *testing.T) {
	_, _, problems := config.LoadFS(fstest.MapFS{
		"a.hcl": file(minimal + "node \"n\" {}\n"),
		"b.hcl": file("\nnode \"n\" {}\n"),
	})
	p := onlyProblem(t, problems)
	if p.Place() != "b.hcl:2:1" || !strings.Contains(p.Advice, "a.hcl:4:1") || p.Component != "node.n" {
		t.Errorf("%v", p)
	}
}

// TestRequiredVersionComesFirst: a configuration for a newer version may be full of words, even of syntax, that this
// one does not know. The version is what the operator has to hear.
func TestRequiredVersionComesFirst(t *testing.T) {
	_, _, problems := config.LoadFS(fstest.MapFS{
		"a.hcl": file("gateway {\n  required_version = \">= 9\"\n  site = \"x\"\n}\nfuture \"block\" {}\n"),
		"b.hcl": file("node \"n\" { unknown = nonsense }\n"),
	}, config.WithVersion("0.1.0"))
	if p := onlyProblem(t, problems); p.Rule != "required-version" {
		t.Errorf("%v", p)
	}
	_, _, problems = config.LoadFS(fstest.MapFS{
		"a.hcl": file("gateway {\n  required_version = \">= 9\"\n  site = \"x\"\n}\n"),
		"b.hcl": file("node \"n\" {\n  a = [\n"),
	}, config.WithVersion("0.1.0"))
	if !slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Rule == "required-version" }) {
		t.Errorf("the version is not among:\n%s", problems)
	}
}

// TestOnePhaseAtATime: all problems of a phase at once, none of the next.
func TestOnePhaseAtATime(t *testing.T) {
	_, _, problems := config.LoadFS(fstest.MapFS{
		"a.hcl": file(minimal + "reciever \"udp\" \"x\" {}\nnode \"BAD\" {}\nnode \"n\" {\n  unknown = 1\n}\n"),
	})
	if len(problems) != 2 || problems[0].Rule != "unknown-block" || problems[1].Rule != "name" {
		t.Errorf("problems:\n%s", problems)
	}
}

func TestLimitsOnFiles(t *testing.T) {
	_, _, problems := config.LoadFS(fstest.MapFS{"a.hcl": file(strings.Repeat("#", 256<<10+1))})
	if p := onlyProblem(t, problems); !strings.Contains(p.Text, "larger than 256 KiB") {
		t.Errorf("%v", p)
	}
	many := fstest.MapFS{}
	for i := range 1001 {
		many[strings.Repeat("x", i%200+1)+string(rune('a'+i/200))+".hcl"] = file("")
	}
	_, _, problems = config.LoadFS(many)
	if p := problems[0]; !strings.Contains(p.Text, "more than 1000 files") {
		t.Errorf("%v", p)
	}
}

// TestCostlyInputIsRefused: each of these would cost the parser or the evaluator minutes, gigabytes or the stack.
func TestCostlyInputIsRefused(t *testing.T) {
	const n = 200 << 10
	doubling := "locals {\n  a0 = \"xxxxxxxx\"\n"
	for i := range 40 {
		doubling += strings.ReplaceAll("  aNEXT = \"${local.aTHIS}${local.aTHIS}\"\n", "THIS", string(rune('0'+i)))
		doubling = strings.ReplaceAll(doubling, "NEXT", string(rune('1'+i)))
	}
	for name, text := range map[string]string{
		"brackets":     "locals {\n  a = " + strings.Repeat("[", n),
		"objects":      "locals {\n  a = " + strings.Repeat("{a=", n/3),
		"blocks":       strings.Repeat("a {\n", n/4),
		"not":          "locals {\n  a = " + strings.Repeat("!", n),
		"minus":        "locals {\n  a = " + strings.Repeat("-", n) + "1\n}\n",
		"conditionals": "locals {\n  a = " + strings.Repeat("true ? 1 : ", n/11) + "1\n}\n",
		"templates":    "locals {\n  a = \"" + strings.Repeat("${\"", n/3),
		"doubling":     doubling + "}\n",
		"exponent":     "locals {\n  a = \"${1e2000000000}\"\n}\n",
		"for":          "locals {\n  a = [for x in [1]: [for y in [1]: x]]\n}\n",
	} {
		_, _, problems := config.LoadFS(fstest.MapFS{"a.hcl": file(text)})
		if !problems.HasErrors() {
			t.Errorf("%s: taken", name)
		}
		if len(problems.String()) > 1<<20 {
			t.Errorf("%s: %d bytes of messages", name, len(problems.String()))
		}
	}
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", n),
		"objects":  strings.Repeat(`{"a":`, n/5),
		"hidden":   `{"locals": {"a": "\u0024{1e2000000000}"}}`,
		"exponent": `{"locals": {"a": "${1e2000000000}"}}`,
	} {
		_, _, problems := config.LoadFS(fstest.MapFS{"a.hcl.json": file(text)})
		if !problems.HasErrors() {
			t.Errorf("json %s: taken", name)
		}
	}
}

func TestProblemsAsJSON(t *testing.T) {
	_, problems := loadText("a.hcl", minimal+"node \"n\" {\n  new_interface = \"closed\"\n}\n")
	raw, err := json.Marshal(problems)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"severity":"error","rule":"unknown-attribute","component":"node.n","file":"a.hcl","line":5,"column":3,"end_line":5,"end_column":16,` +
		`"text":"unknown attribute \"new_interface\"","advice":"did you mean \"new_interfaces\"?","snippet":["  new_interface = \"closed\""]}]`
	if string(raw) != want {
		t.Errorf("got  %s\nwant %s", raw, want)
	}
}

func TestProblemsInColourAndAsError(t *testing.T) {
	_, problems := loadText("a.hcl", minimal+"node \"n\" {\n\tnew_interfaces = \"ä\"\n}\n")
	var b strings.Builder
	if err := problems.WriteText(&b, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\x1b[31merror\x1b[0m") || !strings.Contains(b.String(), "| \x1b[31m\t                 ^^^\x1b[0m") {
		t.Errorf("%q", b.String())
	}
	if err := problems.Err(); err == nil || !strings.HasPrefix(err.Error(), "a.hcl:5:19: new_interfaces: ") {
		t.Errorf("%v", err)
	}
	if err := (config.Problems{{Severity: config.Warning}}).Err(); err != nil {
		t.Errorf("a warning is an error: %v", err)
	}
}

func TestTheDigestTellsConfigurationsApart(t *testing.T) {
	digest := func(files map[string]string) [32]byte {
		fsys := fstest.MapFS{}
		for name, text := range files {
			fsys[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o600}
		}
		c, _, problems := config.LoadFS(fsys)
		if c == nil {
			t.Fatal(problems)
		}
		return c.Digest()
	}
	base := map[string]string{"a.hcl": "gateway {\n  site = \"x\"\n}\n", "b.hcl": "locals {\n  y = 1\n}\n"}
	same, renamed, changed := maps.Clone(base), maps.Clone(base), maps.Clone(base)
	renamed["c.hcl"] = renamed["b.hcl"]
	delete(renamed, "b.hcl")
	changed["b.hcl"] = "locals {\n  y = 2\n}\n"
	if digest(base) != digest(same) || digest(base) == digest(renamed) || digest(base) == digest(changed) {
		t.Error("equal and different are mixed up")
	}
}
