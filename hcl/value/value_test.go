package value_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/sluice-gateway/sluice/hcl/value"
)

func parse(t *testing.T, src string) hcl.Expression {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(src), "a.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", src, diags)
	}
	return e
}

func context() *hcl.EvalContext {
	return &hcl.EvalContext{
		Variables: map[string]cty.Value{"local": cty.ObjectVal(map[string]cty.Value{"net": cty.StringVal("10.20.0"), "wait": cty.StringVal("5m")})},
		Functions: map[string]function.Function{"secret": value.SecretFunction()},
	}
}

func TestRead(t *testing.T) {
	for _, x := range []struct {
		src  string
		typ  value.Type
		want any
	}{
		{`"x"`, value.String, "x"},
		{`"${local.net}.0/24"`, value.String, "10.20.0.0/24"},
		{`1.5`, value.Number, 1.5},
		{`10`, value.Int, int64(10)},
		{`true`, value.Bool, true},
		{`["a", "b"]`, value.StringList, []string{"a", "b"}},
		{`[]`, value.StringList, []string{}},
		{`local.wait`, value.Duration, 5 * time.Minute},
		{`"20GiB"`, value.Bytes, int64(20 << 30)},
		{`"2000/s"`, value.Rate, 2000.0},
		{`"600Mbit"`, value.BitRate, int64(600e6)},
		{`"25%"`, value.Percent, 0.25},
	} {
		got, diags := value.Read(parse(t, x.src), context(), x.typ, value.Limits{})
		if diags.HasErrors() || !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s as %s: %#v %v", x.src, x.typ, got, diags)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	one, two := 1.0, 2.0
	for _, x := range []struct {
		src    string
		typ    value.Type
		limits value.Limits
		text   string
		advice string
	}{
		{`5`, value.Duration, value.Limits{}, "expected a duration with its unit, got the number 5", `write it as in "5m"`},
		{`"5"`, value.Int, value.Limits{}, `expected a whole number, got the text "5"`, "write it without quotes"},
		{`1.5`, value.Int, value.Limits{}, "expected a whole number, got 1.5", ""},
		{`100000000000000000000`, value.Int, value.Limits{}, "the number is too large", ""},
		{`"yes"`, value.Bool, value.Limits{}, `expected true or false, got the text "yes"`, "write true or false"},
		{`"a"`, value.StringList, value.Limits{}, `expected a list of texts, got the text "a"`, `write ["a"]`},
		{`["a", 1]`, value.StringList, value.Limits{}, "expected a list of texts, got a list", ""},
		{`["a"]`, value.String, value.Limits{}, "expected a text in quotes, got a list", "leave out the brackets"},
		{`{a = 1}`, value.String, value.Limits{}, "got an object", ""},
		{`null`, value.String, value.Limits{}, "null is not a value", ""},
		{`"b"`, value.String, value.Limits{Enum: []string{"aa", "bb"}}, `"b" is not one of the values`, `allowed: "aa", "bb"`},
		{`["aa", "ab"]`, value.StringList, value.Limits{Enum: []string{"aa"}}, `"ab" is not one of the values`, ""},
		{`0`, value.Int, value.Limits{Min: &one}, "0 is too small", "the smallest value is 1"},
		{`["a", "b", "c"]`, value.StringList, value.Limits{Max: &two}, "3 elements is too large", "the largest value is 2"},
		{`"1B"`, value.Bytes, value.Limits{Min: &two}, "1B is too small", "the smallest value is 2B"},
		{`secret("x")`, value.String, value.Limits{}, "a secret cannot be used here", ""},
		{`"a"`, "colour", value.Limits{}, "the type colour is unknown", ""},
		{`local.nett`, value.String, value.Limits{}, "there is no local.nett", "did you mean local.net?"},
		{`local`, value.String, value.Limits{}, "local alone is no value", ""},
		{`eno3`, value.String, value.Limits{}, "eno3 is no value here", `write "eno3"`},
	} {
		got, diags := value.Read(parse(t, x.src), context(), x.typ, x.limits)
		if len(diags) != 1 || got != nil || !strings.Contains(diags[0].Summary, x.text) || !strings.Contains(diags[0].Detail, x.advice) || diags[0].Subject == nil {
			t.Errorf("%s as %s: %v %v", x.src, x.typ, got, diags)
		}
	}
}

func TestReadListKeepsPlaces(t *testing.T) {
	list, diags := value.ReadList(parse(t, `["a", "b"]`), nil, value.Limits{})
	if diags.HasErrors() || len(list) != 2 || list[1].Text != "b" || list[1].Range.Start.Column != 7 {
		t.Errorf("%+v %v", list, diags)
	}
}

func TestSecrets(t *testing.T) {
	ref, diags := value.ReadSecret(parse(t, `secret("kics-key")`), context())
	if diags.HasErrors() || ref.Name != "kics-key" {
		t.Errorf("%v %v", ref, diags)
	}
	for _, src := range []string{`"hunter2"`, `secret("")`, `{ password = "x" }`} {
		if _, diags := value.ReadSecret(parse(t, src), context()); !diags.HasErrors() {
			t.Errorf("%s is taken", src)
		}
	}
}

func TestUnquoted(t *testing.T) {
	for line, want := range map[string]string{
		"  connect = [10.30.0.10:20001]":           "10.30.0.10:20001",
		"  allow_from = [\"a\", 10.20.0.0/24]":     "10.20.0.0/24",
		"  mac = 02:00:5e:10:00:02":                "02:00:5e:10:00:02",
		"  listen = fd00::1":                       "fd00::1",
		"  max_size = 20GiB # comment":             "20GiB",
		"  wait=5m":                                "5m",
		"  until = 2027-03-31":                     "2027-03-31",
		"  port = 5514":                            "",
		"  ratio = 1.5":                            "",
		"  node = node.gw-plant":                   "",
		"  enabled = true":                         "",
		"  connect = [\"10.30.0.10:20001\"]":       "",
		"  pairing = \"2026-11\" # since 10.0.0.1": "",
	} {
		_, word, offset := value.Unquoted(line)
		if word != want || word != "" && !strings.HasPrefix(line[offset:], word) {
			t.Errorf("%q: %q at %d", line, word, offset)
		}
	}
}
