package mock

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/sdk"
)

// base is what the mock receiver and the mock sink share.
type base struct {
	fault    Fault
	kind     string
	setup    sdk.Setup
	config   config
	begin    sync.Once
	draining chan struct{} // closed by Drain
	done     chan struct{} // closed when Run has returned
}

type config struct {
	Network string `json:"network"` // what a receiver listens on: "tcp", "udp" or "" (it makes records itself)
	Records int    `json:"records"` // that it makes
	Target  string `json:"target"`  // that DialBeyond asks for
}

func newBase(kind string, f Fault) base {
	return base{fault: f, kind: kind, draining: make(chan struct{}), done: make(chan struct{})}
}

// Describe is that of a plugin named mock.
func (b *base) Describe(context.Context) (sdk.Info, error) {
	switch b.fault {
	case PanicDescribe:
		panic("mock: describe")
	case HangDescribe:
		hang()
	}
	return sdk.Info{
		Kind: b.kind, Name: "mock", Version: "1.2.3", API: sdk.APIVersion,
		Schema: sdk.Schema{
			Doc: "Fails on purpose.",
			Attributes: []sdk.Attribute{
				{Name: "network", Type: sdk.TypeString, Enum: []string{"", "tcp", "udp"}, Default: "", Doc: "What a receiver listens on."},
				{Name: "records", Type: sdk.TypeInt, Default: 0, Doc: "How many records a receiver makes by itself."},
				{Name: "target", Type: sdk.TypeString, Default: "192.0.2.66:502", Doc: "What the fault dial-beyond asks for."},
			},
		},
	}, nil
}

// Validate refuses what is not in the schema.
func (b *base) Validate(_ context.Context, body json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	if b.fault == PanicValidate {
		panic("mock: validate")
	}
	var c config
	err := sdk.Unmarshal(body, &c)
	t := sdk.Traits{Protocol: "mock", Kind: "any", Network: c.Network, Encryption: "none", Delivery: "written"}
	if err != nil {
		return t, []sdk.Problem{{Text: err.Error()}}, nil
	}
	if c.Network != "" && c.Network != "tcp" && c.Network != "udp" {
		return t, []sdk.Problem{{Path: []string{"network"}, Text: "unknown", Advice: "write tcp or udp"}}, nil
	}
	return t, nil, nil
}

// Configure keeps the setup.
func (b *base) Configure(_ context.Context, s sdk.Setup) error {
	if b.fault == RefuseConfig {
		return &sdk.Error{Code: sdk.CodeConfig, Detail: "the mock does not like it", Path: []string{"network"}}
	}
	b.setup = s
	b.config.Target = "192.0.2.66:502"
	return sdk.Unmarshal(s.Config, &b.config)
}

// Drain waits for Run.
func (b *base) Drain(ctx context.Context) error {
	if b.fault == HangDrain {
		hang()
	}
	b.begin.Do(func() { close(b.draining) })
	select {
	case <-b.done:
	case <-ctx.Done():
	}
	return nil
}

// misbehave does what fails at the start of Run. It returns true when Run has nothing more to do.
func (b *base) misbehave(ctx context.Context, network sdk.Network) (bool, error) {
	switch b.fault {
	case PanicRun:
		panic("mock: run")
	case HangRun:
		hang()
	case ReturnAtOnce:
		return true, nil
	case FailRun:
		return true, errors.New("the mock fails")
	case ExitRun:
		os.Exit(7)
	case AtMessage:
		_, _ = os.Stderr.WriteString("{\"@message\":1}\n{\"@level\":2,\"@timestamp\":[]}\n{\"@message\":\n")
	case LongLine:
		_, _ = os.Stderr.WriteString(strings.Repeat("x", 16<<20))
	case FloodStderr:
		return true, floodStderr(ctx)
	case Allocate:
		return true, allocate(ctx)
	case DialBeyond:
		_, err := network.Dial(ctx, b.config.Target)
		return true, err
	case ListenBeyond:
		return true, b.listenBeyond(ctx, network)
	case LeakGoroutine:
		go hang()
	}
	return false, nil
}

func (b *base) listenBeyond(ctx context.Context, network sdk.Network) error {
	if b.config.Network == "tcp" {
		_, err := network.Packets(ctx)
		return err
	}
	_, err := network.Listener(ctx)
	return err
}

func floodStderr(ctx context.Context) error {
	line := []byte(strings.Repeat("a line of no interest ", 186) + "\n")
	for ctx.Err() == nil {
		if _, err := os.Stderr.Write(line); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// allocate takes memory and touches it, a megabyte at a time.
func allocate(ctx context.Context) error {
	var all [][]byte
	for ctx.Err() == nil {
		page := make([]byte, 1<<20)
		for i := 0; i < len(page); i += 4096 {
			page[i] = 1
		}
		all = append(all, page)
	}
	runtime.KeepAlive(all)
	return ctx.Err()
}
