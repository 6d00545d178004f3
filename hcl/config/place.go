package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// ProblemAt makes an error about a component that somebody else found, such as a plugin that validated its body or the
// host that did not find the plugin. Path leads to an attribute inside config {}, for example ["tls", "certificate"];
// the place is that attribute's, or that of the nearest block around it, or that of an attribute of this name in the
// component's own block. An unknown component gets the directory as its place.
func (c *Config) ProblemAt(component string, path []string, text, advice string) Problem {
	p := Problem{Severity: Error, Rule: RulePlugin, Component: component, Text: text, Advice: advice}
	o, known := c.origins[component]
	if !known {
		p.Range = c.src.fileProblem("", "", "", "").Range
		return p
	}
	p.Range = o.at
	if at, found := locate(o.config, path); found {
		p.Range = at
	} else if at, found := locate(o.body, path); found {
		p.Range = at
	}
	return c.src.withSnippet(p)
}

// locate follows a path through a body as far as it goes. found is false when not even its first step is there.
func locate(body hcl.Body, path []string) (at hcl.Range, found bool) {
	for _, step := range path {
		if body == nil {
			return at, found
		}
		content, _, _ := body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: step}}})
		if a, there := content.Attributes[step]; there {
			return a.Expr.Range(), true
		}
		content, _, _ = body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: step}}})
		i := slices.IndexFunc(content.Blocks, func(b *hcl.Block) bool { return b.Type == step })
		if i < 0 {
			return at, found
		}
		at, found, body = content.Blocks[i].DefRange, true, content.Blocks[i].Body
	}
	return at, found
}
