package pluginhost_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// playPlugin serves the mock whose fault is in the file's name.
func playPlugin(file string) {
	name := strings.TrimPrefix(file, "sluice-receiver-")
	switch name {
	case "exit0":
		return
	case "exit3":
		_, _ = os.Stderr.WriteString("no such device\n")
		os.Exit(3)
	case "stdout-garbage":
		_, _ = fmt.Println("hello, I am starting up")
		_, _ = os.Stdout.WriteString(strings.Repeat("x", 1<<20))
	case "stdout-flood":
		_, _ = os.Stdout.WriteString(strings.Repeat("x", 1<<20))
	case "stdout-version":
		_, _ = fmt.Println("1|99|unix|/nowhere|grpc|")
		hang()
	case "stdout-tcp":
		_, _ = fmt.Println("1|1|tcp|127.0.0.1:1|grpc|")
		hang()
	case "stdout-elsewhere":
		_, _ = fmt.Println("1|1|unix|/run/other.sock|grpc|")
		hang()
	case "never-serves":
		hang()
	case "wrong-cookie":
		_ = os.Setenv(sdk.Handshake().MagicCookieKey, "another product")
	case "misnamed":
		name = "other"
	}
	sdk.Serve(&mock{name: name, drained: make(chan struct{})})
}

// mock is a receiver with a fault.
type mock struct {
	name    string
	once    sync.Once
	drained chan struct{}
	config  string
}

func (m *mock) Describe(context.Context) (sdk.Info, error) {
	switch m.name {
	case "panic-describe":
		panic("mock: describe")
	case "hang-describe":
		hang()
	}
	return sdk.Info{Kind: sdk.KindReceiver, Name: m.name, Version: "1.2.3"}, nil
}

func (m *mock) Validate(_ context.Context, config json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	if m.name == "panic-validate" {
		panic("mock: validate")
	}
	if strings.Contains(string(config), "bad") {
		return sdk.Traits{}, []sdk.Problem{{Path: []string{"tls"}, Text: "bad", Advice: "make it good"}}, nil
	}
	return sdk.Traits{Protocol: "mock", Network: "udp"}, nil, nil
}

func (m *mock) Configure(_ context.Context, s sdk.Setup) error {
	m.config = string(s.Config)
	if m.name == "refuses-config" {
		return &sdk.Error{Code: sdk.CodeConfig, Detail: "I do not like it", Path: []string{"tls"}}
	}
	return nil
}

func (m *mock) Drain(ctx context.Context) error {
	if m.name == "hang-drain" {
		hang()
	}
	m.once.Do(func() { close(m.drained) })
	return ctx.Err()
}

// Run puts one batch with the plugin's view of itself into the intake, then does what the name says.
func (m *mock) Run(ctx context.Context, _ sdk.Network, out sdk.Intake) error {
	if err := m.tell(ctx, out); err != nil {
		return err
	}
	switch m.name {
	case "panic-run":
		go panic("mock: run")
	case "exit-run":
		os.Exit(7)
	case "hang-run":
		hang()
	case "at-message":
		_, _ = os.NewFile(2, "stderr").WriteString("{\"@message\":1}\n{\"@level\":2,\"@timestamp\":[]}\n")
		_, _ = os.Stderr.WriteString("{\"@message\":1}\n")
	case "flood":
		go m.flood(ctx)
	case "glutton":
		m.eat()
	case "threads":
		m.multiply()
	case "returns":
		return nil
	}
	select {
	case <-ctx.Done():
	case <-m.drained:
	}
	return nil
}

func (m *mock) flood(ctx context.Context) {
	raw := os.NewFile(2, "stderr")
	line := []byte(strings.Repeat("a line of no interest ", 200) + "\n")
	for ctx.Err() == nil {
		_, _ = raw.Write(line)
	}
}

// eat takes memory until it is killed.
func (m *mock) eat() {
	debug.SetGCPercent(-1)
	var all [][]byte
	for range 64 {
		block := make([]byte, 16<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		all = append(all, block)
	}
	panic(fmt.Sprint("had its fill: ", len(all)))
}

// multiply makes threads until there are no more to be had.
func (m *mock) multiply() {
	for range 400 {
		go func() {
			runtime.LockOSThread()
			hang()
		}()
	}
	hang()
}

// tell sends what the process sees of the world: environment, directory, process group, descriptors, privileges.
func (m *mock) tell(ctx context.Context, out sdk.Intake) error {
	w, err := sdk.NewWriter(out, sdk.Setup{Name: "mock." + m.name}, sdk.WriterOptions{Linger: -1})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	go func() { _ = w.Run(ctx) }()
	t, err := w.Write(ctx, sdk.Connection{}, []sdk.Record{{Kind: sdk.KindOpaque, Payload: m.view()}})
	if err != nil {
		return err
	}
	return t.Wait(ctx)
}

func (m *mock) view() []byte {
	if isAttacker(m.name) {
		return attackView(m.config)
	}
	dir, _ := os.Getwd()
	v, _ := json.Marshal(map[string]any{
		"env": os.Environ(), "dir": dir, "args": os.Args,
	})
	return v
}

// hang waits for longer than any test. An empty select would end the process of a program built without cgo: the
// runtime takes it for a deadlock.
func hang() { <-time.After(24 * time.Hour) }
