package pluginhost

import (
	"context"
	"encoding/json"

	"github.com/sluice-gateway/sluice/sdk"
)

// described is what a plugin's file said of itself.
type described struct{ info sdk.Info }

// Describe asks a plugin what it is, by starting it for a moment. The answer is kept as long as the file stays the same.
func (h *Host) Describe(ctx context.Context, kind, name string) (sdk.Info, error) {
	path, err := h.Find(kind, name)
	if err != nil {
		return sdk.Info{}, err
	}
	id, err := identify(path)
	if err != nil {
		return sdk.Info{}, err
	}
	if d, ok := h.recall(id, kind, name); ok {
		return d.info, nil
	}
	var info sdk.Info
	err = h.probe(ctx, kind, name, func(_ context.Context, i *Instance) error {
		info = i.info
		return nil
	})
	if err != nil {
		return sdk.Info{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[id] = described{info: info}
	return info, nil
}

// recall looks up a file; one file may be installed under several names.
func (h *Host) recall(id fileID, kind, name string) (described, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.known[id]
	return d, ok && d.info.Kind == kind && d.info.Name == name
}

// Validate asks a plugin to check a body of `config {}` that satisfies its schema, by starting it for a moment.
func (h *Host) Validate(ctx context.Context, kind, name string, config json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	var traits sdk.Traits
	var problems []sdk.Problem
	err := h.probe(ctx, kind, name, func(ctx context.Context, i *Instance) error {
		var err error
		traits, problems, err = i.plugin.Validate(ctx, config)
		return err
	})
	return traits, problems, err
}

// probe runs ask with a plugin that lives only for it.
func (h *Host) probe(ctx context.Context, kind, name string, ask func(context.Context, *Instance) error) error {
	i, err := h.start(ctx, kind, name, "", kind+" plugin "+name, nil)
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err = ask(call, i)
	if err != nil {
		i.process.settle()
		err = &StartError{Kind: kind, Name: name, Reason: "it did not answer", Err: err, Output: i.process.log.lastLines()}
	}
	if serr := i.Stop(context.WithoutCancel(ctx)); err == nil {
		err = serr
	}
	return err
}
