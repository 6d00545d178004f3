package schema_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/hcl/schema"
	"github.com/sluice-gateway/sluice/sdk"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample has every type and every rule once.
func sample() sdk.Schema {
	return sdk.Schema{
		Doc: "A sample.",
		Attributes: []sdk.Attribute{
			{Name: "protocol", Type: sdk.TypeString, Required: true, Enum: []string{"syslog", "opaque"}, Doc: "What endpoints speak."},
			{Name: "path", Type: sdk.TypeString, Default: "out/records.ndjson", Format: sdk.FormatPath, Doc: "Where it goes."},
			{Name: "server", Type: sdk.TypeString, Format: sdk.FormatHostPort, Doc: "A server."},
			{Name: "names", Type: sdk.TypeStringList, Default: []any{"a"}, Doc: "Some | names."},
			{Name: "count", Type: sdk.TypeInt, Default: float64(3), Min: new(1.0), Max: new(9.0), Doc: "How many."},
			{Name: "ratio", Type: sdk.TypeNumber, Default: 0.5, Doc: "A ratio."},
			{Name: "flag", Type: sdk.TypeBool, Default: false, Doc: "A switch."},
			{Name: "wait", Type: sdk.TypeDuration, Default: "5s", Min: new(1e9), Doc: "How long."},
			{Name: "max_size", Type: sdk.TypeBytes, Default: "1GiB", Doc: "How large."},
			{Name: "rate", Type: sdk.TypeRate, Default: "2000/s", Doc: "How fast."},
			{Name: "line", Type: sdk.TypeBitRate, Default: "10Mbit", Doc: "How wide."},
			{Name: "share", Type: sdk.TypePercent, Default: "25%", Doc: "How much."},
			{Name: "key", Type: sdk.TypeString, Sensitive: true, Doc: "A key."},
		},
		Blocks: []sdk.Block{{
			Name: "tls", Doc: "Encryption.",
			Schema: sdk.Schema{Attributes: []sdk.Attribute{
				{Name: "certificate", Type: sdk.TypeString, Required: true, Format: sdk.FormatCertificate, Doc: "Its name."},
				{Name: "verify_clients", Type: sdk.TypeBool, Default: false, Doc: "Whether."},
				{Name: "password", Type: sdk.TypeString, Sensitive: true, Doc: "Of the key."},
			}},
		}},
	}
}

// decode puts a body into a whole configuration and decodes it as the gateway does.
func decode(t *testing.T, body string, s sdk.Schema) (json.RawMessage, config.Problems) {
	t.Helper()
	text := "gateway {\n  site = \"x\"\n}\nlocals {\n  proto = \"syslog\"\n}\nnode \"n\" {}\nreceiver \"tcp\" \"r\" {\n  node = node.n\n  port = 1\n" + body + "}\n"
	c, _, problems := config.LoadFS(fstest.MapFS{"a.hcl": {Data: []byte(text), Mode: 0o600}})
	if problems.HasErrors() {
		return nil, problems
	}
	r := c.Receiver("receiver.tcp.r")
	raw, diags := schema.Decode(r.Config, s, c.EvalContext())
	return raw, c.Problems(r.Address, diags)
}

func TestDecode(t *testing.T) {
	for _, x := range []struct{ name, body, want string }{
		{
			"defaults", "config {\n  protocol = local.proto\n}\n",
			`{"count":3,"flag":false,"line":10000000,"max_size":1073741824,"names":["a"],"path":"out/records.ndjson","protocol":"syslog","rate":2000,"ratio":0.5,"share":0.25,"wait":5000000000}`,
		},
		{
			"everything", "config {\n  protocol = \"opaque\"\n  path = \"/x\"\n  server = \"h:1\"\n  names = []\n  count = 9\n  ratio = 2\n  flag = true\n  wait = \"1m\"\n" +
				"  max_size = \"1kB\"\n  rate = \"1/s\"\n  line = \"1kbit\"\n  share = \"50%\"\n  key = secret(\"k\")\n  tls {\n    certificate = \"auto\"\n    password = secret(\"p\")\n  }\n}\n",
			`{"count":9,"flag":true,"key":{"secret":"k"},"line":1000,"max_size":1000,"names":[],"path":"/x","protocol":"opaque","rate":1,"ratio":2,"server":"h:1","share":0.5,` +
				`"tls":{"certificate":"auto","password":{"secret":"p"},"verify_clients":false},"wait":60000000000}`,
		},
	} {
		raw, problems := decode(t, x.body, sample())
		if len(problems) > 0 || string(raw) != x.want {
			t.Errorf("%s:\n got %s\nwant %s\n%s", x.name, raw, x.want, problems)
		}
	}
}

// TestDecodeRefuses compares all messages about bad bodies as text.
func TestDecodeRefuses(t *testing.T) {
	var b strings.Builder
	for _, body := range []string{
		"",
		"config {}\n",
		"config {\n  protocol = \"sylsog\"\n}\n",
		"config {\n  protocl = \"syslog\"\n}\n",
		"config {\n  protocol = \"syslog\"\n  colour = \"red\"\n}\n",
		"config {\n  protocol = \"syslog\"\n  allow_from = [\"10.0.0.0/8\"]\n}\n",
		"config {\n  protocol = \"syslog\"\n  tsl {}\n}\n",
		"config {\n  protocol = \"syslog\"\n  tls {}\n}\n",
		"config {\n  protocol = \"syslog\"\n  tls {\n    certificate = \"a\"\n  }\n  tls {\n    certificate = \"b\"\n  }\n}\n",
		"config {\n  protocol = \"syslog\"\n  wait = 5\n  max_size = \"5\"\n  count = 10\n  ratio = \"x\"\n  flag = \"on\"\n  names = \"a\"\n}\n",
		"config {\n  protocol = \"syslog\"\n  wait = \"10ms\"\n  rate = \"1\"\n  line = \"1M\"\n  share = 25\n}\n",
		"config {\n  protocol = \"syslog\"\n  key = \"hunter2\"\n}\n",
		"config {\n  protocol = secret(\"x\")\n}\n",
		"config {\n  protocol = local.prot\n}\n",
		"config {\n  protocol = \"syslog\"\n  path = \"\"\n  server = \"h\"\n  tls {\n    certificate = \"/etc/x\"\n  }\n}\n",
		"config {\n  protocol = upper(\"x\")\n}\n",
		"config {\n  protocol = \"${local.proto\"\n}\n",
	} {
		raw, problems := decode(t, body, sample())
		if raw != nil || !problems.HasErrors() {
			t.Errorf("taken: %s", body)
		}
		b.WriteString("======== " + body + problems.String() + "\n")
	}
	const golden = "testdata/refused.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || b.String() != string(want) {
		t.Errorf("differs from %s (%v):\n%s", golden, err, b.String())
	}
}

func TestCheckFindsBadSchemas(t *testing.T) {
	if err := schema.Check(sample()); err != nil {
		t.Fatal(err)
	}
	attr := func(a sdk.Attribute) sdk.Schema { return sdk.Schema{Attributes: []sdk.Attribute{a}} }
	deep := sdk.Schema{}
	for range 10 {
		deep = sdk.Schema{Blocks: []sdk.Block{{Name: "b", Schema: deep}}}
	}
	for name, s := range map[string]sdk.Schema{
		"type":             attr(sdk.Attribute{Name: "a", Type: "colour"}),
		"name":             attr(sdk.Attribute{Name: "A b", Type: sdk.TypeString}),
		"default":          attr(sdk.Attribute{Name: "a", Type: sdk.TypeDuration, Default: "5"}),
		"default of type":  attr(sdk.Attribute{Name: "a", Type: sdk.TypeInt, Default: "5"}),
		"default in list":  attr(sdk.Attribute{Name: "a", Type: sdk.TypeStringList, Default: []any{1}}),
		"default function": attr(sdk.Attribute{Name: "a", Type: sdk.TypeString, Default: func() {}}),
		"required default": attr(sdk.Attribute{Name: "a", Type: sdk.TypeString, Required: true, Default: "x"}),
		"secret default":   attr(sdk.Attribute{Name: "a", Type: sdk.TypeString, Sensitive: true, Default: "x"}),
		"secret number":    attr(sdk.Attribute{Name: "a", Type: sdk.TypeInt, Sensitive: true}),
		"twice":            {Attributes: []sdk.Attribute{{Name: "a", Type: sdk.TypeInt}}, Blocks: []sdk.Block{{Name: "a"}}},
		"deep":             deep,
		"many":             {Attributes: make([]sdk.Attribute, 1000)},
	} {
		if err := schema.Check(s); err == nil {
			t.Errorf("%s is taken", name)
		}
		if _, problems := decode(t, "config {}\n", s); !problems.HasErrors() || problems[0].Place() != "a.hcl:8:1" && problems[0].Place() != "a.hcl:11:8" {
			t.Errorf("%s: %s", name, problems)
		}
	}
}

func TestResolve(t *testing.T) {
	raw, problems := decode(t, "config {\n  protocol = \"syslog\"\n  key = secret(\"k\")\n  tls {\n    certificate = \"auto\"\n    password = secret(\"p\")\n  }\n}\n", sample())
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	got, err := schema.Resolve(raw, sample(), func(name string) (string, error) { return "value of " + name, nil })
	if err != nil || !strings.Contains(string(got), `"key":"value of k"`) || !strings.Contains(string(got), `"password":"value of p"`) {
		t.Errorf("%s %v", got, err)
	}
	absent := errors.New("no such secret")
	if _, err := schema.Resolve(raw, sample(), func(string) (string, error) { return "", absent }); !errors.Is(err, absent) {
		t.Errorf("%v", err)
	}
	if _, err := schema.Resolve(json.RawMessage("{"), sample(), nil); err == nil {
		t.Error("broken JSON is taken")
	}
}

func TestMarkdown(t *testing.T) {
	got := schema.Markdown(sample())
	for _, want := range []string{
		"### `config {}`\n\nA sample.\n",
		"| `protocol` | string | required | What endpoints speak. One of `\"syslog\"`, `\"opaque\"`. |",
		"| `names` | list(string) | `[\"a\"]` | Some \\| names. |",
		"| `count` | int | `3` | How many. At least 1. At most 9. |",
		"| `wait` | duration | `\"5s\"` | How long. At least 1s. |",
		"| `key` | secret | none | A key. |",
		"### `config.tls {}`\n\nEncryption.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// FuzzDecode decodes arbitrary bodies; nothing may panic, and what is taken is JSON.
func FuzzDecode(f *testing.F) {
	f.Add("config {\n  protocol = \"syslog\"\n}\n")
	f.Add("config {\n  protocol = local.proto\n  key = secret(\"k\")\n  tls {\n    certificate = \"auto\"\n  }\n}\n")
	f.Add("config {\n  names = [\"${local.proto}\", null]\n  count = 1 / 0\n}\n")
	f.Fuzz(func(t *testing.T, body string) {
		raw, problems := decode(t, body, sample())
		if (raw == nil) != problems.HasErrors() || raw != nil && !json.Valid(raw) {
			t.Errorf("%s with problems:\n%s", raw, problems)
		}
	})
}

// FuzzSchema takes arbitrary schemas, which come from plugins, through every function.
func FuzzSchema(f *testing.F) {
	raw, err := json.Marshal(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"attributes":[{"name":"protocol","type":"list(string)","default":{"a":[1]},"min":1e308}],"blocks":[{"name":"tls"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var s sdk.Schema
		if json.Unmarshal(raw, &s) != nil {
			return
		}
		_, problems := decode(t, "config {\n  protocol = \"syslog\"\n}\n", s)
		_ = problems.String()
		_ = schema.Markdown(s)
	})
}
