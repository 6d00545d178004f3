package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on what the parser is given. A configuration computes next to nothing, so what could make it compute for
// hours, fill the memory or exhaust the stack (which Go cannot recover from) is refused before it is parsed.
const (
	maxNesting  = 32 // of brackets and braces; the deepest block of the language is 4 deep
	maxOperator = 64 // operators on one line: chains of them nest in the parser as brackets do
)

// refuseCostly looks at the tokens of a file and returns the first one that goes too far, or nil.
func refuseCostly(text []byte, shown string) *Problem {
	if strings.HasSuffix(shown, ".json") {
		if p := refuseCostlyTemplate(text, shown); p != nil {
			return p
		}
	}
	tokens, _ := hclsyntax.LexConfig(text, shown, hcl.InitialPos)
	depth, operators := 0, 0
	for i, t := range tokens {
		depth += nesting(t.Type)
		operators = countOperators(operators, t.Type)
		switch {
		case depth > maxNesting:
			return costly(t.Range, fmt.Sprintf("brackets are nested more than %d deep", maxNesting), "")
		case operators > maxOperator:
			return costly(t.Range, fmt.Sprintf("more than %d operators in one expression", maxOperator), "")
		case t.Type == hclsyntax.TokenNumberLit && strings.ContainsAny(string(t.Bytes), "eE"):
			return costly(t.Range, "numbers with an exponent are not used here", "write the number out, or a text with a unit")
		case t.Type == hclsyntax.TokenIdent && string(t.Bytes) == "for" && i > 0 && opensFor(tokens[i-1].Type):
			return costly(t.Range, "for expressions are not used here", "write the elements out")
		}
	}
	return nil
}

func costly(at hcl.Range, text, advice string) *Problem {
	return &Problem{Range: at, Severity: Error, Rule: "syntax", Text: text, Advice: advice}
}

// nesting is +1 for a token that opens a bracket and -1 for one that closes it.
func nesting(t hclsyntax.TokenType) int {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		return 1
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
		return -1
	}
	return 0
}

// countOperators counts the operators since the last line break or comma.
func countOperators(n int, t hclsyntax.TokenType) int {
	switch t {
	case hclsyntax.TokenNewline, hclsyntax.TokenComma:
		return 0
	case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenPlus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
		hclsyntax.TokenQuestion, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenDot, hclsyntax.TokenTemplateControl:
		return n + 1
	}
	return n
}

// opensFor reports whether a token can stand before the word "for" of a for expression.
func opensFor(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenTemplateControl, hclsyntax.TokenNewline, hclsyntax.TokenComment:
		return true
	}
	return false
}

// The JSON form hides templates in strings, where the lexer does not see them: only plain names and secret() may stand
// in one.
var (
	jsonTemplate = regexp.MustCompile(`[$%]\{([^}]*)`)
	jsonPlain    = regexp.MustCompile(`^\s*([a-z]+(\.[A-Za-z][\w-]*)+|secret\(\\"[\w.-]+\\"\))\s*$`)
	jsonHidden   = regexp.MustCompile(`\\u00(24|25|7[bB])`) // "$", "%" and "{" written so that they are not seen
)

func refuseCostlyTemplate(text []byte, shown string) *Problem {
	at := func(offset int) hcl.Range {
		line := 1 + strings.Count(string(text[:offset]), "\n")
		column := 1 + offset - (1 + strings.LastIndexByte(string(text[:offset]), '\n'))
		start := hcl.Pos{Line: line, Column: column, Byte: offset}
		return hcl.Range{Filename: shown, Start: start, End: hcl.Pos{Line: line, Column: column + 1, Byte: offset + 1}}
	}
	if m := jsonHidden.FindIndex(text); m != nil {
		return costly(at(m[0]), "an escape hides a template", "write the character itself")
	}
	for _, m := range jsonTemplate.FindAllSubmatchIndex(text, -1) {
		if !jsonPlain.Match(text[m[2]:m[3]]) {
			return costly(at(m[0]), "this template is not used here", "in the JSON form a template holds a name such as ${local.NAME}, or secret()")
		}
	}
	return nil
}
