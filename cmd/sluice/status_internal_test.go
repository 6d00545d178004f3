package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stateWith makes a state directory in which some nodes run and others were killed.
func stateWith(t *testing.T, living, dead []string) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "s[1]") // no pattern
	for _, node := range dead {
		if err := os.MkdirAll(filepath.Join(state, node), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(gateway.Socket(state, node), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range living {
		s, err := console.Listen(t.Context(), gateway.Socket(state, node), func() console.Status { return console.Status{Node: node, Ready: true} })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return state
}

// sluice runs a command line.
func sluice(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestASocketThatAKilledNodeLeftHidesNoOther(t *testing.T) {
	state := stateWith(t, []string{"b-living", "d-living"}, []string{"a-dead", "c-dead"})
	out, err := sluice(t, "status", "--state", state)
	if !strings.Contains(out, "node b-living") || !strings.Contains(out, "node d-living") {
		t.Errorf("shown:\n%s", out)
	}
	if exitCode(err) != exitError || !strings.Contains(err.Error(), "node a-dead") || !strings.Contains(err.Error(), "node c-dead") {
		t.Errorf("error %v", err)
	}
	out, err = sluice(t, "status", "--state", state, "--node", "d-living")
	if err != nil || strings.Contains(out, "b-living") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestStatusAsJSONIsOneDocumentPerNode(t *testing.T) {
	out, err := sluice(t, "status", "--json", "--state", stateWith(t, []string{"a", "b"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(out))
	for _, want := range []string{"a", "b"} {
		var st console.Status
		if err := dec.Decode(&st); err != nil || st.Node != want {
			t.Errorf("%v %q, want %q", err, st.Node, want)
		}
	}
	if dec.More() {
		t.Error("there is more")
	}
}

func TestNoNodeRunsIsSaid(t *testing.T) {
	for _, state := range []string{t.TempDir(), filepath.Join(t.TempDir(), "nowhere")} {
		if _, err := sluice(t, "status", "--state", state); err == nil || !strings.Contains(err.Error(), "no node runs from state directory "+state) {
			t.Errorf("%v", err)
		}
	}
}
