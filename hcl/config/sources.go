package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
)

// Limits on what is read, so that a wrong directory or a hostile file cannot take the memory or the stack of a gateway.
// The largest sites that were thought of have some thousand blocks in a handful of files.
const (
	maxFileBytes = 256 << 10 // of one file; also bounds the parser's recursion
	maxFiles     = 1000      // in one directory
)

// Sources holds the files of a configuration as they were read, for messages.
type Sources struct {
	prefix string
	files  []source
}

type source struct {
	name string // as shown: with the directory that the caller gave
	text []byte
	body hcl.Body
}

// Names returns the files in the order in which they were read.
func (s *Sources) Names() []string {
	names := make([]string, len(s.files))
	for i, f := range s.files {
		names[i] = f.name
	}
	return names
}

// Text returns the bytes of a file as they were read, or nil. They must not be changed.
func (s *Sources) Text(name string) []byte {
	for _, f := range s.files {
		if f.name == name {
			return f.text
		}
	}
	return nil
}

// Digest is the SHA-256 of the files as they were read, by their names without the directory: equal on two nodes that have
// the same configuration.
func (c *Config) Digest() [sha256.Size]byte {
	h := sha256.New()
	if c.src != nil {
		for _, f := range c.src.files {
			_, _ = fmt.Fprintf(h, "%s\x00%d\x00%s", path.Base(filepath.ToSlash(f.name)), len(f.text), f.text) // never fails, see hash.Hash
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// relevant reports whether a directory entry belongs to the configuration. What editors leave behind does not.
func relevant(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasPrefix(name, "#") {
		return false
	}
	return strings.HasSuffix(name, ".hcl") || strings.HasSuffix(name, ".hcl.json")
}

// readSources reads and parses every file of one directory in lexical order, without recursion.
func readSources(fsys fs.FS, prefix string) (*Sources, Problems) {
	s := &Sources{prefix: prefix}
	entries, err := fs.ReadDir(fsys, ".") // sorted by name
	if err != nil {
		return s, Problems{s.fileProblem("", "read", "the configuration directory cannot be read: "+cause(err), "name a directory of *.hcl files")}
	}
	var problems Problems
	for _, e := range entries {
		if !relevant(e.Name()) {
			continue
		}
		if len(s.files) == maxFiles {
			return s, append(problems, s.fileProblem("", "read", fmt.Sprintf("more than %d files", maxFiles), "is this the right directory?"))
		}
		problems = append(problems, s.add(fsys, e.Name())...)
	}
	if len(s.files) == 0 && len(problems) == 0 {
		problems = append(problems, s.fileProblem("", "read", "there is no *.hcl file here", "name a directory of *.hcl files"))
	}
	return s, problems
}

// cause is the innermost reason of a file error: the path is shown by the problem's place.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// fileProblem is an error about a whole file, or about the directory when name is "".
func (s *Sources) fileProblem(name string, rule Rule, text, advice string) Problem {
	shown := path.Join(s.prefix, name)
	if shown == "" {
		shown = "."
	}
	return Problem{Range: hcl.Range{Filename: shown}, Severity: Error, Rule: rule, Text: text, Advice: advice}
}

// add reads and parses one file. Directories that look like files are passed over: there is no recursion.
func (s *Sources) add(fsys fs.FS, name string) Problems {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return Problems{s.fileProblem(name, "read", "the file cannot be read: "+cause(err), "")}
	}
	if info.IsDir() {
		return nil
	}
	if !info.Mode().IsRegular() {
		return Problems{s.fileProblem(name, "read", "this is not a regular file", "configuration is read from regular files only")}
	}
	if info.Mode().Perm()&0o022 != 0 {
		return Problems{s.fileProblem(name, "file-mode", fmt.Sprintf("the file is writable by group or others (mode %04o)", info.Mode().Perm()),
			"whoever can write it decides what this gateway opens: chmod go-w "+path.Join(s.prefix, name))}
	}
	text, err := readLimited(fsys, name)
	if err != nil {
		return Problems{s.fileProblem(name, "read", "the file cannot be read: "+cause(err), "")}
	}
	return s.parse(path.Join(s.prefix, name), text)
}

var errFileSize = fmt.Errorf("it is larger than %d KiB; split it", maxFileBytes>>10)

func readLimited(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, errFileSize
	}
	return text, nil
}

// parse adds one file. What could be parsed of a broken file is kept, so that required_version can still be read.
func (s *Sources) parse(shown string, text []byte) Problems {
	f := source{name: shown, text: text, body: hcl.EmptyBody()}
	defer func() { s.files = append(s.files, f) }()
	if p := refuseCostly(text, shown); p != nil {
		parsed := Sources{files: []source{f}}
		return Problems{parsed.withSnippet(*p)}
	}
	var file *hcl.File
	var diags hcl.Diagnostics
	if strings.HasSuffix(shown, ".json") {
		file, diags = hcljson.Parse(text, shown)
	} else {
		file, diags = hclsyntax.ParseConfig(text, shown, hcl.InitialPos)
	}
	if file != nil && file.Body != nil {
		f.body = file.Body
	}
	for _, d := range diags {
		d.Extra = Rule("syntax")
	}
	parsed := Sources{files: []source{f}}
	return parsed.Problems(diags)
}

// line returns the source line on which a range starts, without its newline.
func (s *Sources) line(r hcl.Range) string {
	lines := s.lines(r, 1)
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

// lines returns up to limit source lines from the start of a range to its end.
func (s *Sources) lines(r hcl.Range, limit int) []string {
	text := s.Text(r.Filename)
	if text == nil || r.Start.Line == 0 {
		return nil
	}
	var out []string
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if number < r.Start.Line {
			continue
		}
		if number > r.Start.Line && (number > r.End.Line || number == r.End.Line && r.End.Column <= 1) || len(out) == limit {
			break
		}
		out = append(out, strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "�"))
	}
	return out
}

// withSnippet adds the source lines to a problem that has none.
func (s *Sources) withSnippet(p Problem) Problem {
	if p.Snippet == nil {
		p.Snippet = s.lines(p.Range, maxSnippet)
	}
	return p
}
