package sdk

import (
	"encoding/json"
	"fmt"
	"slices"
)

// PathsOf lists the files that a body of `config {}` names, as the operator wrote them: those of FormatPath, which the
// plugin reads, and those of FormatOutput, which it writes. Nested blocks are included; both lists are sorted and
// without repetitions, and a file that is read and written stands in both. An attribute that was left out or is empty
// names none.
func PathsOf(s Schema, body json.RawMessage) (read, write []string, err error) {
	found := map[string][]string{}
	if err := collectPaths(s, body, found); err != nil {
		return nil, nil, err
	}
	return distinct(found[FormatPath]), distinct(found[FormatOutput]), nil
}

// collectPaths adds the values of one level, by format.
func collectPaths(s Schema, body json.RawMessage, found map[string][]string) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(body, &values); err != nil {
		return fmt.Errorf("configuration body: %w", err)
	}
	for _, a := range s.Attributes {
		if a.Format != FormatPath && a.Format != FormatOutput {
			continue
		}
		texts, err := textsOf(values[a.Name])
		if err != nil {
			return fmt.Errorf("configuration body: %s: %w", a.Name, err)
		}
		found[a.Format] = append(found[a.Format], texts...)
	}
	for _, b := range s.Blocks {
		inner, ok := values[b.Name]
		if !ok || string(inner) == "null" {
			continue
		}
		if err := collectPaths(b.Schema, inner, found); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return nil
}

// textsOf reads a string or a list of strings. What is no text is an error: a path that is not seen is a file that the
// plugin cannot reach, or worse, one that nobody has looked at.
func textsOf(v json.RawMessage) ([]string, error) {
	if len(v) == 0 {
		return nil, nil
	}
	var one string
	if json.Unmarshal(v, &one) == nil { // also of null
		return []string{one}, nil
	}
	var many []string
	err := json.Unmarshal(v, &many)
	return many, err
}

func distinct(paths []string) []string {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	return slices.DeleteFunc(paths, func(p string) bool { return p == "" })
}
