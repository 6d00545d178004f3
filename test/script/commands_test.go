package script_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedCommandsExist asks the program for help on every command line of every document, so that each names a
// verb that there is, with flags that it has.
func TestDocumentedCommandsExist(t *testing.T) {
	program := filepath.Join(binDir(t), "sluice")
	lines := documentedCommands(t, filepath.Join("..", ".."))
	if len(lines) < 30 {
		t.Fatalf("only %d command lines were found", len(lines))
	}
	for line, file := range lines {
		t.Run(file+" "+line, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields(line)
			out, err := exec.CommandContext(t.Context(), program, append(args, "--help")...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			// A verb that is not there gives the help of the one above it.
			if verbs := leadingVerbs(args); strings.Contains(string(out), "Available Commands:") && len(verbs) > len(usagePath(string(out))) {
				t.Errorf("there is no such verb: the help is that of %q", usagePath(string(out)))
			}
		})
	}
}

// usagePath are the verbs of the command that a help text is about.
func usagePath(help string) []string {
	_, usage, _ := strings.Cut(help, "Usage:\n  sluice")
	line, _, _ := strings.Cut(usage, "\n")
	return leadingVerbs(strings.Fields(line))
}

// leadingVerbs are the words before the first that is no verb.
func leadingVerbs(args []string) []string {
	verb := regexp.MustCompile(`^[a-z][a-z-]*$`)
	end := slices.IndexFunc(args, func(s string) bool { return !verb.MatchString(s) })
	if end < 0 {
		return args
	}
	return args[:end]
}

// documentedCommands returns what documents tell people to type behind `sluice`, in blocks of shell and within
// sentences, with a file that says so.
func documentedCommands(t *testing.T, root string) map[string]string {
	t.Helper()
	block := regexp.MustCompile("(?ms)^```(sh)?[a-z]*\n(.*?)^```$")
	typed := regexp.MustCompile(`(?m)^(?:\$ )?(?:bin/)?sluice ([^#\n]*)`)
	within := regexp.MustCompile("`(?:bin/)?sluice ([a-z][^`\n]*)`")
	out := map[string]string{}
	add := func(file string, found [][]string) {
		for _, m := range found {
			out[strings.NewReplacer("[", "", "]", "").Replace(strings.TrimSpace(m[1]))] = file
		}
	}
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
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(root, path)
		for _, m := range block.FindAllStringSubmatch(string(b), -1) {
			if m[1] == "sh" {
				add(file, typed.FindAllStringSubmatch(m[2], -1))
			}
		}
		if !strings.HasPrefix(file, filepath.Join("docs", "formats")) { // there, labels of keys look like commands
			add(file, within.FindAllStringSubmatch(block.ReplaceAllString(string(b), ""), -1))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
