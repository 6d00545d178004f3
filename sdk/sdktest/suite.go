package sdktest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/sdk"
)

// What a suite allows for things that should be immediate (ours: generous, as a failing plugin takes for ever).
const (
	promptly   = 5 * time.Second
	shortDrain = 500 * time.Millisecond
	bulkCount  = 500 // records of a test that needs many
)

// common are the checks that receivers and sinks share. open connects a new plugin; it is not configured.
type common struct {
	kind      string
	config    string
	construct func() sdk.Plugin
	open      func(t *testing.T) *border
	run       func(ctx context.Context, b *border) error
	setup     func(t *testing.T) sdk.Setup
}

func (c common) test(t *testing.T) {
	t.Helper()
	c.sub(t, "describe", c.describe)
	c.sub(t, "validate", c.validate)
	c.sub(t, "validate refuses what the schema does not know", c.unknown)
	c.sub(t, "validate survives hostile bodies", c.hostile)
	c.sub(t, "run before configure is refused", c.early)
	c.sub(t, "a second run is refused", c.twice)
	c.sub(t, "a second configure is refused", c.reconfigure)
}

// sub runs one check and looks for goroutines that it has left behind.
func (common) sub(t *testing.T, name string, check func(*testing.T)) {
	t.Helper()
	leaked := goleak.IgnoreCurrent()
	t.Run(name, check) // its cleanups have run when it returns
	if err := goleak.Find(leaked); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

var pluginName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

func (c common) describe(t *testing.T) {
	b := c.open(t)
	first, err := b.client.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.Kind != c.kind || !pluginName.MatchString(first.Name) || first.Version == "" {
		t.Errorf("kind %q name %q version %q: want kind %q, a name of lower-case letters, a version",
			first.Kind, first.Name, first.Version, c.kind)
	}
	if first.Schema.Doc == "" {
		t.Error("the schema has no doc")
	}
	checkSchema(t, "config", first.Schema)
	again, err := b.client.Describe(t.Context())
	if err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("described differently the second time: %+v, %v", again, err)
	}
}

var attrTypes = []sdk.AttrType{
	sdk.TypeString, sdk.TypeNumber, sdk.TypeInt, sdk.TypeBool, sdk.TypeStringList, sdk.TypeDuration, sdk.TypeBytes,
	sdk.TypeRate, sdk.TypeBitRate, sdk.TypePercent,
}

func checkSchema(t *testing.T, where string, s sdk.Schema) {
	t.Helper()
	seen := map[string]bool{}
	for _, a := range s.Attributes {
		name := where + "." + a.Name
		if seen[a.Name] || a.Name == "" {
			t.Errorf("%s: name is empty or taken", name)
		}
		seen[a.Name] = true
		if a.Doc == "" {
			t.Errorf("%s: no doc", name)
		}
		if !slices.Contains(attrTypes, a.Type) {
			t.Errorf("%s: unknown type %q", name, a.Type)
		}
		if a.Required && a.Default != nil {
			t.Errorf("%s: required and with a default", name)
		}
		if d, ok := a.Default.(string); ok && len(a.Enum) > 0 && !slices.Contains(a.Enum, d) {
			t.Errorf("%s: default %q is not in %q", name, d, a.Enum)
		}
	}
	for _, b := range s.Blocks {
		name := where + "." + b.Name
		if seen[b.Name] || b.Name == "" || b.Doc == "" {
			t.Errorf("%s: name is empty or taken, or no doc", name)
		}
		seen[b.Name] = true
		checkSchema(t, name, b.Schema)
	}
}

func (c common) validate(t *testing.T) {
	b := c.open(t)
	var all []string
	for range 2 {
		traits, problems, err := b.client.Validate(t.Context(), []byte(c.config))
		if err != nil || len(problems) > 0 {
			t.Fatalf("the suite's own configuration: problems %v, error %v", problems, err)
		}
		c.traits(t, traits)
		all = append(all, fmt.Sprintf("%+v", traits))
	}
	if all[0] != all[1] {
		t.Errorf("traits differ: %s, %s", all[0], all[1])
	}
	if r := b.network.refusals(); len(r) > 0 {
		t.Errorf("asked for %q before Run", r)
	}
}

func (c common) traits(t *testing.T, tr sdk.Traits) {
	t.Helper()
	if tr.Protocol == "" || tr.Kind == "" {
		t.Errorf("traits without protocol or kind: %+v", tr)
	}
	if c.kind == sdk.KindSink {
		if !slices.Contains([]string{"acknowledged", "written", "sent"}, tr.Delivery) {
			t.Errorf("delivery %q: want acknowledged, written or sent", tr.Delivery)
		}
		return
	}
	if !slices.Contains([]string{"", "tcp", "udp"}, tr.Network) {
		t.Errorf("network %q: want tcp, udp or nothing", tr.Network)
	}
	if !slices.Contains([]string{"tls", "sealed", "by-endpoint", "none"}, tr.Encryption) {
		t.Errorf("encryption %q: want tls, sealed, by-endpoint or none", tr.Encryption)
	}
}

func (c common) unknown(t *testing.T) {
	var body map[string]json.RawMessage
	if err := json.Unmarshal([]byte(c.config), &body); err != nil {
		t.Fatalf("the suite's own configuration: %v", err)
	}
	body["sdktest_unknown"] = json.RawMessage("1")
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	_, problems, err := c.open(t).client.Validate(t.Context(), raw)
	if err == nil && len(problems) == 0 {
		t.Error("an attribute that the schema does not have was accepted: use sdk.Unmarshal")
	}
}

func (c common) hostile(t *testing.T) {
	info, err := c.construct().Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range hostileBodies(info.Schema) {
		c.validateSafely(t, body)
	}
}

// validateSafely calls the plugin directly, as a panic behind gRPC would end the test binary without a name.
func (c common) validateSafely(t *testing.T, body string) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("validate %.120q: panic: %v", body, r)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), promptly)
	defer cancel()
	_, _, _ = c.construct().Validate(ctx, []byte(body)) // any answer is right, a crash is not
	if ctx.Err() != nil {
		t.Errorf("validate %.120q: more than %v", body, promptly)
	}
}

func hostileBodies(s sdk.Schema) []string {
	bodies := []string{
		"", " ", "null", "1", `""`, "[]", "{", "{}", "{}{}", `{"a":`, "\x00\xff", `{"a":1e999}`,
		strings.Repeat("[", 1<<16), strings.Repeat(`{"a":`, 1<<12), `{"a":"` + strings.Repeat("x", 1<<20) + `"}`,
	}
	values := []string{
		"null", "true", `""`, `"\u0000"`, `"` + strings.Repeat("/..", 4096) + `"`, "-1", "0", "1e308", "-9223372036854775808",
		"9223372036854775807", "0.5", "[]", "{}", "[null]", `["",""]`, `{"":{}}`,
	}
	for _, v := range values {
		var all []string
		for _, a := range s.Attributes {
			bodies = append(bodies, fmt.Sprintf("{%q:%s}", a.Name, v))
			all = append(all, fmt.Sprintf("%q:%s", a.Name, v))
		}
		for _, b := range s.Blocks {
			bodies = append(bodies, fmt.Sprintf("{%q:%s}", b.Name, v))
			for _, a := range b.Schema.Attributes {
				bodies = append(bodies, fmt.Sprintf("{%q:{%q:%s}}", b.Name, a.Name, v))
			}
		}
		bodies = append(bodies, "{"+strings.Join(all, ",")+"}")
	}
	return bodies
}

func (c common) early(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.run(ctx, c.open(t)); sdk.CodeOf(err) != sdk.CodeNotConfigured {
		t.Errorf("run before configure: %v, want code %s", err, sdk.CodeNotConfigured)
	}
}

func (c common) configured(t *testing.T) (*border, sdk.Setup) {
	t.Helper()
	b, s := c.open(t), c.setup(t)
	traits, _, err := b.client.Validate(t.Context(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	b.network.allow(traits.Network)
	if err := b.client.Configure(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return b, s
}

func (c common) twice(t *testing.T) {
	b, _ := c.configured(t)
	r := b.begin(t, func(ctx context.Context) error { return c.run(ctx, b) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.run(ctx, b); sdk.CodeOf(err) != sdk.CodeRefused {
		t.Errorf("a second Run: %v, want code %s", err, sdk.CodeRefused)
	}
	r.cancel()
	_ = b.wait(t, r, promptly) // the error of a cancelled Run says nothing
}

func (c common) reconfigure(t *testing.T) {
	b, s := c.configured(t)
	if err := b.client.Configure(t.Context(), s); sdk.CodeOf(err) != sdk.CodeRefused {
		t.Errorf("a second Configure: %v, want code %s", err, sdk.CodeRefused)
	}
}
