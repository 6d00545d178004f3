package sdk_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/sdktest/mock"
)

// process starts this test binary as the mock receiver, the way a core does, and returns its view of it.
func process(t *testing.T, f mock.Fault) (*plugin.Client, sdk.Receiver, *control.Socket) {
	t.Helper()
	ours, theirs, err := control.Pair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = []string{mock.Variable + "=receiver/" + string(f), plugin.EnvUnixSocketDir + "=" + t.TempDir()}
	cmd.ExtraFiles = []*os.File{theirs}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: sdk.Handshake(), Plugins: sdk.HostPlugins(sdk.KindReceiver), Cmd: cmd, SkipHostEnv: true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, AutoMTLS: true,
		GRPCDialOptions: sdk.DialOptions(), Logger: hclog.NewNullLogger(),
	})
	t.Cleanup(func() {
		client.Kill()
		_ = ours.Close()
	})
	protocol, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	p, err := sdk.HostDispense(protocol)
	if err != nil {
		t.Fatal(err)
	}
	return client, p.(sdk.Receiver), ours
}

func TestServeInAProcess(t *testing.T) {
	_, r, _ := process(t, mock.None)
	if info, err := r.Describe(t.Context()); err != nil || info.Name != "mock" || info.API != sdk.APIVersion {
		t.Fatalf("%+v, %v", info, err)
	}
	if err := r.Configure(t.Context(), sdk.Setup{Name: "mock.x", Config: []byte(`{"records":3}`)}); err != nil {
		t.Fatal(err)
	}
	s := &spool{}
	done := make(chan error, 1)
	go func() { done <- r.Run(t.Context(), nil, s) }()
	for limit := time.Now().Add(patience); len(s.records(t)) < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("no records")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestAPluginEndsWithItsCore: the control socket is the leash, also when the core was killed.
func TestAPluginEndsWithItsCore(t *testing.T) {
	client, _, leash := process(t, mock.None)
	if err := leash.Close(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(patience); !client.Exited(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the plugin lives on")
		}
	}
}

func TestAPluginStartedByHand(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = []string{mock.Variable + "=receiver/"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "This binary is a plugin") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRegisterRefusesWhatIsNeither(t *testing.T) {
	if err := sdk.Register(grpc.NewServer(), scripted{}, nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a plugin that cannot run was registered")
	}
	if _, err := sdk.NewClient(nil, "filter"); err == nil {
		t.Error("an unknown kind was accepted")
	}
}

func TestTheLogIsJSONLines(t *testing.T) {
	var b strings.Builder
	sdk.NewLogger(&b).With("component", "tcp.x").Warn("odd frame", "remote", net.IPv4(192, 0, 2, 1))
	if got := b.String(); !strings.Contains(got, `"level":"warn","message":"odd frame","component":"tcp.x","remote":"192.0.2.1"}`) || strings.Count(got, "\n") != 1 {
		t.Error(got)
	}
}
