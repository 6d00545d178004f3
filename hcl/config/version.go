package config

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/mod/semver"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// checkVersions reads gateway.required_version of every file and holds it against the version that runs. It comes
// first and looks at nothing else: a configuration for a newer Sluice may be full of words that this one cannot know.
func (d *decoder) checkVersions(running string) {
	for _, f := range d.src.files {
		content, _, _ := f.body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "gateway"}}})
		for _, b := range content.Blocks {
			inner, _, _ := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "required_version"}}})
			if a, there := inner.Attributes["required_version"]; there {
				d.checkVersion(a, running)
			}
		}
	}
}

func (d *decoder) checkVersion(a *hcl.Attribute, running string) {
	at := a.Expr.Range()
	v, diags := value.Read(a.Expr, nil, value.String, value.Limits{})
	text, _ := v.(string)
	if diags.HasErrors() {
		d.add(Problem{Range: at, Rule: "required-version", Text: "required_version: expected a plain text", Advice: `write it as in required_version = ">= 0.1"`})
		return
	}
	ok, err := satisfies(running, text)
	switch {
	case err != nil:
		d.add(Problem{Range: at, Rule: "required-version", Text: "required_version: " + err.Error(), Advice: `write it as in ">= 0.1" or "~> 1.2"`})
	case !ok:
		d.add(Problem{
			Range: at, Rule: "required-version", Text: fmt.Sprintf("this configuration needs Sluice %s, this is %s", text, running),
			Advice: "install a version that fits, or use the configuration that was written for this one",
		})
	}
}

// operators of a version constraint, longest first so that ">=" is not read as ">".
var operators = []string{"~>", ">=", "<=", "!=", ">", "<", "="}

// satisfies reports whether a version meets every part of a constraint such as ">= 0.1, < 2". A version that is not a
// released one, as in a build from a work tree, meets everything.
func satisfies(version, constraint string) (bool, error) {
	running := canonical(version)
	all := true
	for part := range strings.SplitSeq(constraint, ",") {
		op, wanted := splitConstraint(strings.TrimSpace(part))
		want := canonical(wanted)
		if want == "" {
			return false, fmt.Errorf("%q is not a version", wanted)
		}
		if running != "" && !compare(running, op, want, wanted) {
			all = false
		}
	}
	return all, nil
}

func splitConstraint(part string) (op, version string) {
	for _, op := range operators {
		if rest, ok := strings.CutPrefix(part, op); ok {
			return op, strings.TrimSpace(rest)
		}
	}
	return "=", part
}

// canonical returns the form that package semver compares, or "" for what is not a version.
func canonical(version string) string {
	return semver.Canonical("v" + strings.TrimPrefix(version, "v"))
}

func compare(running, op, want, wanted string) bool {
	c := semver.Compare(running, want)
	switch op {
	case ">=":
		return c >= 0
	case ">":
		return c > 0
	case "<=":
		return c <= 0
	case "<":
		return c < 0
	case "!=":
		return c != 0
	case "~>":
		return c >= 0 && samePrefix(running, want, wanted)
	default:
		return c == 0
	}
}

// samePrefix is the upper end of "~>": only the last part that was written may grow, so "~> 1.2" ends before 2 and
// "~> 1.2.3" before 1.3.
func samePrefix(running, want, wanted string) bool {
	if strings.Count(wanted, ".") >= 2 {
		return semver.MajorMinor(running) == semver.MajorMinor(want)
	}
	return semver.Major(running) == semver.Major(want)
}
