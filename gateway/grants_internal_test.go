package gateway

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

func writes(path string) part {
	body, _ := json.Marshal(map[string]string{"path": path, "ca": "trust/ca.pem"}) //nolint:errchkjson // two strings
	return part{body: body, schema: sdk.Schema{Attributes: []sdk.Attribute{
		{Name: "path", Type: sdk.TypeString, Format: sdk.FormatOutput}, {Name: "ca", Type: sdk.TypeString, Format: sdk.FormatPath},
	}}}
}

func TestAPluginSeesWhatItsConfigurationNames(t *testing.T) {
	g := testGateway(t)
	state := g.opts.StateDir
	got, err := g.grants("sink.file.a", writes("out/{date}.ndjson"), filepath.Join(state, "n", "plugin", "file.a"))
	if err != nil {
		t.Fatal(err)
	}
	want := []pluginhost.Grant{
		{Path: filepath.Join(state, "n", "plugin", "file.a"), Write: true},
		{Path: filepath.Join(state, "trust", "ca.pem")},
		{Path: filepath.Join(state, "out"), Write: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestNoPluginWritesWhereTheGatewayKeepsItsState(t *testing.T) {
	g := testGateway(t)
	g.opts.Plan.Config.Nodes = append(g.opts.Plan.Config.Nodes, config.Node{Name: "other"})
	state := g.opts.StateDir
	for path, refused := range map[string]bool{
		"a.txt": true, "./a.txt": true, "out/../a.txt": true, "keys/a": true, "keys/deep/a": true, "run/a": true, "n/a": true,
		"n/spool/a": true, "other/audit/a": true, "/a.txt": true, filepath.Dir(state) + "/a.txt": true, state + "/a.txt": true,
		"out/a.txt": false, "nn/a.txt": false, "keys2/a": false, "/srv/archive/a": false,
	} {
		_, err := g.grants("sink.file.a", writes(path), "/private")
		if (err != nil) != refused {
			t.Errorf("%s: %v", path, err)
		}
		if err != nil && !strings.Contains(err.Error(), "a directory of its own") {
			t.Errorf("%s: no remedy in %v", path, err)
		}
	}
}
