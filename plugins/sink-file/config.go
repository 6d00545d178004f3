package sinkfile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/sdk"
)

const version = "0.1.0"

// Defaults and limits (ours).
const (
	defaultRotateSize = 128 << 20 // bytes
	minRotateSize     = 64 << 10  // bytes
	defaultMode       = "0640"
	// dateMark in the path becomes the day, in UTC, on which a record is written.
	dateMark = "{date}"
)

type config struct {
	Path       string `json:"path"`
	RotateSize int64  `json:"rotate_size"` // bytes
	Keep       int    `json:"keep"`        // closed files; 0 = all
	MaxSize    int64  `json:"max_size"`    // bytes of all files; 0 = no limit
	Mode       string `json:"mode"`        // octal permissions
}

func decode(raw json.RawMessage) (config, error) {
	c := config{RotateSize: defaultRotateSize, Mode: defaultMode}
	err := sdk.Unmarshal(raw, &c)
	return c, err
}

func (c config) mode() (os.FileMode, error) {
	m, err := strconv.ParseUint(c.Mode, 8, 32)
	return os.FileMode(m), err
}

func traits() sdk.Traits {
	return sdk.Traits{Protocol: "file", Kind: "any", Delivery: "written"}
}

func (c config) problems() []sdk.Problem {
	var ps []sdk.Problem
	add := func(attr, text, advice string) {
		ps = append(ps, sdk.Problem{Path: []string{attr}, Text: text, Advice: advice})
	}
	if text, advice := c.pathProblem(); text != "" {
		add("path", text, advice)
	}
	if c.RotateSize < minRotateSize {
		add("rotate_size", "must be 64KiB at least", "")
	}
	if c.Keep < 0 {
		add("keep", "must not be negative", "write 0 to keep all files")
	}
	if c.MaxSize != 0 && c.MaxSize < 2*c.RotateSize {
		add("max_size", "must be twice rotate_size at least, so that one file can be removed while another is written", "")
	}
	if m, err := c.mode(); err != nil || m&^0o777 != 0 || m&0o600 != 0o600 {
		add("mode", "must be octal permissions that let the owner read and write", `write for example "0640"`)
	}
	return ps
}

func (c config) pathProblem() (text, advice string) {
	dir, base := filepath.Split(c.Path)
	switch {
	case c.Path == "":
		return "is missing", `write for example path = "out/records.ndjson"`
	case strings.ContainsRune(c.Path, 0):
		return "contains a NUL", ""
	case base == "" || base == "." || base == "..":
		return "names a directory", "add a file name"
	case strings.Contains(dir, dateMark) || strings.Count(base, dateMark) > 1:
		return dateMark + " may stand once, in the file's name", ""
	case strings.Trim(base, "0123456789.") == "":
		return "needs a letter in the file's name, as closed files get a number", ""
	case strings.HasSuffix(base, ".zst") || strings.HasSuffix(base, ".gz"):
		return "promises compression, which this sink does not do", "write a name that ends in .ndjson"
	default:
		return "", ""
	}
}

func schema() sdk.Schema {
	number := func(n float64) *float64 { return &n }
	return sdk.Schema{
		Doc: "Writes records to files, one JSON object per line. A record is delivered when it is on disk.",
		Attributes: []sdk.Attribute{
			{
				Name: "path", Type: sdk.TypeString, Required: true, Format: sdk.FormatOutput,
				Doc: "The file. {date} in its name becomes the day (UTC) on which a record is written, so that each day has its own.",
			},
			{Name: "rotate_size", Type: sdk.TypeBytes, Default: "128MiB", Min: number(minRotateSize), Doc: "Closes a file before it grows beyond this: it is renamed to path.1, path.2 and so on, the highest number being the newest."},
			{Name: "keep", Type: sdk.TypeInt, Default: 0, Min: number(0), Doc: "Closed files to keep; the oldest are removed. 0 keeps all."},
			{Name: "max_size", Type: sdk.TypeBytes, Default: "0B", Min: number(0), Doc: "What all files together may take; the oldest closed ones are removed. \"0B\" sets no limit."},
			{Name: "mode", Type: sdk.TypeString, Default: defaultMode, Doc: "Permissions of new files, octal."},
		},
	}
}
