package sdk_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
)

func pathSchema() sdk.Schema {
	path := func(name, format string) sdk.Attribute {
		return sdk.Attribute{Name: name, Type: sdk.TypeString, Format: format}
	}
	return sdk.Schema{
		Attributes: []sdk.Attribute{
			path("ca", sdk.FormatPath), path("out", sdk.FormatOutput), path("certificate", sdk.FormatCertificate), path("note", ""),
			{Name: "lists", Type: sdk.TypeStringList, Format: sdk.FormatPath},
		},
		Blocks: []sdk.Block{{
			Name: "tls",
			Schema: sdk.Schema{
				Attributes: []sdk.Attribute{path("key", sdk.FormatPath)},
				Blocks:     []sdk.Block{{Name: "log", Schema: sdk.Schema{Attributes: []sdk.Attribute{path("out", sdk.FormatOutput)}}}},
			},
		}},
	}
}

func TestPathsOf(t *testing.T) {
	for _, c := range []struct {
		name, body  string
		read, write string // space between
	}{
		{"nothing", `{}`, "", ""},
		{"null and empty", `{"ca":null,"out":"","tls":null}`, "", ""},
		{"one of each", `{"ca":"ca.pem","out":"out/x","certificate":"auto","note":"/etc/passwd"}`, "ca.pem", "out/x"},
		{"as written", `{"ca":"../a//b","out":"/x/{date}.y"}`, "../a//b", "/x/{date}.y"},
		{"list", `{"lists":["b","a","","b"]}`, "a b", ""},
		{"nested", `{"tls":{"key":"k","log":{"out":"l"}}}`, "k", "l"},
		{"sorted and unique", `{"ca":"z","lists":["z","y"],"tls":{"key":"a","log":{"out":"o"}},"out":"o"}`, "a y z", "o"},
		{"read and written", `{"ca":"f","out":"f"}`, "f", "f"},
		{"block without its parts", `{"tls":{}}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			read, write, err := sdk.PathsOf(pathSchema(), json.RawMessage(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(read, strings.Fields(c.read)) || !slices.Equal(write, strings.Fields(c.write)) {
				t.Errorf("read %q, write %q", read, write)
			}
		})
	}
}

func TestPathsOfRefuses(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{``, "configuration body"},
		{`[]`, "configuration body"},
		{`{"ca":7}`, "ca"},
		{`{"lists":["a",7]}`, "lists"},
		{`{"tls":"x"}`, "tls"},
		{`{"tls":{"log":{"out":{}}}}`, "tls: log: configuration body: out"},
	} {
		_, _, err := sdk.PathsOf(pathSchema(), json.RawMessage(c.body))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.body, err, c.want)
		}
	}
}

// FuzzPathsOf: whatever the body, nothing that is empty or twice there comes back.
func FuzzPathsOf(f *testing.F) {
	f.Add([]byte(`{"ca":"a","lists":["b","a"],"tls":{"key":"k","log":{"out":"l"}}}`))
	f.Add([]byte(`{"ca":[null,"",["x"]],"tls":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		read, write, err := sdk.PathsOf(pathSchema(), body)
		for _, list := range [][]string{read, write} {
			if err != nil && list != nil {
				t.Fatalf("paths beside an error: %q", list)
			}
			if slices.Contains(list, "") || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
				t.Fatalf("%q", list)
			}
		}
	})
}
