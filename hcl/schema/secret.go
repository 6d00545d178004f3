package schema

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-gateway/sluice/sdk"
)

// Resolve returns a copy of a decoded body with every secret reference replaced by what lookup returns for its name.
// lookup's error is wrapped. The result holds secrets: it goes to the plugin and nowhere else.
func Resolve(raw json.RawMessage, s sdk.Schema, lookup func(name string) (string, error)) (json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	for _, a := range s.Attributes {
		if !a.Sensitive || object[a.Name] == nil {
			continue
		}
		v, err := resolveOne(object[a.Name], lookup)
		if err != nil {
			return nil, fmt.Errorf("secret: %s: %w", a.Name, err)
		}
		object[a.Name] = v
	}
	for _, b := range s.Blocks {
		if inner := object[b.Name]; inner != nil && string(inner) != "null" {
			v, err := Resolve(inner, b.Schema, lookup)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", b.Name, err)
			}
			object[b.Name] = v
		}
	}
	return json.Marshal(object)
}

func resolveOne(raw json.RawMessage, lookup func(name string) (string, error)) (json.RawMessage, error) {
	var ref struct {
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(raw, &ref); err != nil {
		return nil, err
	}
	text, err := lookup(ref.Secret)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", ref.Secret, err)
	}
	return json.Marshal(text)
}
