package arch

import (
	"fmt"
	"go/ast"
	"strings"
)

// Confined forbids the rooms of the product to name what starts plugins
// without a sandbox: it is there to be measured against, and no setting or
// flag may lead to it.
func Confined(t *Tree) []string {
	var problems []string
	for _, f := range t.Files {
		if f.Go == nil || f.isTest() || strings.HasPrefix(f.Path, "test/") || f.dir() == "gateway/pluginhost" {
			continue
		}
		ast.Inspect(f.Go, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == unconfined {
				problems = append(problems, fmt.Sprintf("%s: %s: the product always confines plugins", t.set.Position(id.Pos()), unconfined))
			}
			return true
		})
	}
	return problems
}

// unconfined is a field of pluginhost.Config.
const unconfined = "Unconfined"
