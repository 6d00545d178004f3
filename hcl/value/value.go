package value

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Type is what an attribute holds. The words equal those of the plugin contract's attribute types.
type Type string

// The types of values, with the Go type that Read returns.
const (
	String     Type = "string"       // string
	Number     Type = "number"       // float64
	Int        Type = "int"          // int64
	Bool       Type = "bool"         // bool
	StringList Type = "list(string)" // []string
	Duration   Type = "duration"     // time.Duration
	Bytes      Type = "bytes"        // int64, bytes
	Rate       Type = "rate"         // float64, events per second
	BitRate    Type = "bitrate"      // int64, bits per second
	Percent    Type = "percent"      // float64, a fraction: "25%" is 0.25
)

// Known reports whether t is one of the types above.
func (t Type) Known() bool { return t.Example() != "" }

// Example is a value of the type as an operator writes it, for messages and manuals; "" for an unknown type.
func (t Type) Example() string {
	switch t {
	case String:
		return `"text"`
	case Number:
		return "1.5"
	case Int:
		return "10"
	case Bool:
		return "true"
	case StringList:
		return `["a", "b"]`
	case Duration:
		return `"5m"`
	case Bytes:
		return `"20GiB"`
	case Rate:
		return `"2000/s"`
	case BitRate:
		return `"600Mbit"`
	case Percent:
		return `"25%"`
	}
	return ""
}

// noun names a type with its article, for messages.
func (t Type) noun() string {
	switch t {
	case String:
		return "a text in quotes"
	case Number:
		return "a number"
	case Int:
		return "a whole number"
	case Bool:
		return "true or false"
	case StringList:
		return "a list of texts"
	case Duration:
		return "a duration with its unit"
	case Bytes:
		return "a size with its unit"
	case Rate:
		return "a rate with its unit"
	case BitRate:
		return "a bit rate with its unit"
	case Percent:
		return "a share in percent"
	}
	return "a value of type " + string(t)
}

// Limits bound a value. Min and Max are in the base unit of the type (nanoseconds, bytes, …) and inclusive; for a list
// they bound the number of its elements, and Enum each of its elements.
type Limits struct {
	Enum     []string
	Min, Max *float64
}

// Read evaluates an expression and returns its value in the Go type that the Type names, or why it is not one. It
// never returns a value together with an error.
func Read(expr hcl.Expression, ctx *hcl.EvalContext, t Type, limits Limits) (any, hcl.Diagnostics) {
	v, diags := Evaluate(expr, ctx)
	if diags.HasErrors() {
		return nil, diags
	}
	if isSecret(v) {
		return nil, problem(expr.Range(), "a secret cannot be used here", "secret() stands only where the reference says so")
	}
	got, text, advice := convert(v, t)
	if text == "" {
		text, advice = limits.check(got, t)
	}
	if text != "" {
		return nil, problem(expr.Range(), text, advice)
	}
	return got, nil
}

// convert turns an evaluated value into the Go value of a type; text is what is wrong, "" when all is well.
func convert(v cty.Value, t Type) (got any, text, advice string) {
	switch t {
	case Bool:
		if v.Type() == cty.Bool {
			return v.True(), "", ""
		}
	case Number, Int:
		if v.Type() == cty.Number {
			return convertNumber(v, t)
		}
	case StringList:
		if list, ok := textList(v); ok {
			return list, "", ""
		}
	default:
		if v.Type() == cty.String {
			return convertText(v.AsString(), t)
		}
	}
	return nil, fmt.Sprintf("expected %s, got %s", t.noun(), describe(v)), remedy(v, t)
}

func convertNumber(v cty.Value, t Type) (got any, text, advice string) {
	f, _ := v.AsBigFloat().Float64()
	if t == Number {
		if math.IsInf(f, 0) {
			return nil, "the number is too large", ""
		}
		return f, "", ""
	}
	if !v.AsBigFloat().IsInt() {
		return nil, "expected a whole number, got " + v.AsBigFloat().Text('g', 10), ""
	}
	if math.Abs(f) > 1<<53 { // beyond this JSON readers no longer agree on single integers (RFC 8259, section 6)
		return nil, "the number is too large", ""
	}
	return int64(f), "", ""
}

// convertText reads the types that are written as text.
func convertText(s string, t Type) (got any, text, advice string) {
	var err error
	switch t {
	case String:
		return s, "", ""
	case Duration:
		got, err = ParseDuration(s)
	case Bytes:
		got, err = ParseBytes(s)
	case Rate:
		got, err = ParseRate(s)
	case BitRate:
		got, err = ParseBitRate(s)
	case Percent:
		got, err = ParsePercent(s)
	default:
		return nil, "the type " + string(t) + " is unknown", "this is an error of the plugin's schema"
	}
	if err != nil {
		return nil, fmt.Sprintf("%q is not %s: %v", s, t.noun(), err), "write it as in " + t.Example()
	}
	return got, "", ""
}

// textList returns the elements of a list, tuple or set whose elements are all texts.
func textList(v cty.Value) ([]string, bool) {
	if t := v.Type(); !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		return nil, false
	}
	list := make([]string, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() || e.Type() != cty.String {
			return nil, false
		}
		list = append(list, e.AsString())
	}
	return list, true
}

// describe names a value that has the wrong type.
func describe(v cty.Value) string {
	switch t := v.Type(); {
	case t == cty.String:
		return "the text " + strconv.Quote(v.AsString())
	case t == cty.Number:
		return "the number " + v.AsBigFloat().Text('g', 10)
	case t == cty.Bool:
		return "true or false"
	case t.IsTupleType(), t.IsListType(), t.IsSetType():
		return "a list"
	default:
		return "an object"
	}
}

// remedy says how to write a value of the type that was expected.
func remedy(v cty.Value, t Type) string {
	switch {
	case t == StringList && v.Type() == cty.String:
		return "write [" + strconv.Quote(v.AsString()) + "]"
	case t == Bool:
		return "write true or false, without quotes"
	case (t == Int || t == Number) && v.Type() == cty.String:
		return "write it without quotes"
	case v.Type().IsTupleType() && t != StringList:
		return "one value is expected here: leave out the brackets"
	}
	return "write it as in " + t.Example()
}

// check holds a converted value against the limits.
func (l Limits) check(got any, t Type) (text, advice string) {
	switch g := got.(type) {
	case string:
		return l.checkWord(g)
	case []string:
		for _, e := range g {
			if text, advice = l.checkWord(e); text != "" {
				return text, advice
			}
		}
		return l.checkNumber(float64(len(g)), Int, " elements")
	case int64:
		return l.checkNumber(float64(g), t, "")
	case float64:
		return l.checkNumber(g, t, "")
	case time.Duration:
		return l.checkNumber(float64(g), t, "")
	}
	return "", ""
}

func (l Limits) checkWord(word string) (text, advice string) {
	if len(l.Enum) == 0 || slices.Contains(l.Enum, word) {
		return "", ""
	}
	quoted := make([]string, len(l.Enum))
	for i, e := range l.Enum {
		quoted[i] = strconv.Quote(e)
	}
	return strconv.Quote(word) + " is not one of the values that are allowed here", didYouMeanOneOf(word, l.Enum, quoted)
}

// didYouMeanOneOf always lists the values too, since there are few.
func didYouMeanOneOf(word string, plain, quoted []string) string {
	list := "allowed: " + strings.Join(quoted, ", ")
	if s := Suggest(word, plain); s != "" {
		return "did you mean " + strconv.Quote(s) + "? " + list
	}
	return list
}

func (l Limits) checkNumber(n float64, t Type, what string) (text, advice string) {
	switch {
	case l.Min != nil && n < *l.Min:
		return fmt.Sprintf("%s%s is too small", Text(n, t), what), "the smallest value is " + Text(*l.Min, t)
	case l.Max != nil && n > *l.Max:
		return fmt.Sprintf("%s%s is too large", Text(n, t), what), "the largest value is " + Text(*l.Max, t)
	}
	return "", ""
}

// Text prints a number in the base unit of a type as an operator would write it, without quotes.
func Text(n float64, t Type) string {
	switch t {
	case Duration:
		if n == 0 {
			return "0s"
		}
		return withUnit(n, durationUnits())
	case Bytes:
		return withUnit(n, byteUnits())
	case BitRate:
		return withUnit(n, bitRateUnits())
	case Rate:
		return strconv.FormatFloat(n, 'g', -1, 64) + "/s"
	case Percent:
		return strconv.FormatFloat(n*100, 'g', 6, 64) + "%"
	default:
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
}

// withUnit prints n in the largest unit that leaves a whole number.
func withUnit(n float64, units []unit) string {
	best := units[0]
	for _, u := range units {
		if n != 0 && math.Mod(n, u.worth) == 0 && u.worth > best.worth {
			best = u
		}
	}
	return strconv.FormatFloat(n/best.worth, 'f', -1, 64) + best.name
}
