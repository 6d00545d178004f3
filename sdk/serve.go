package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/control"
)

// pluginName is the one name under which a process serves its plugin.
const pluginName = "plugin"

// Handshake tells a plugin binary that was started by hand from one that the core started. It is no secret.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: APIVersion, MagicCookieKey: "SLUICE_PLUGIN", MagicCookieValue: "7f0c1d5a"}
}

// Serve runs a plugin process: it is all that a plugin's main does. It returns when the core has gone or asked it to
// stop. Nothing may be printed to standard output before it.
func Serve(p Plugin) {
	log := NewLogger(os.Stderr)
	if h := Handshake(); os.Getenv(h.MagicCookieKey) != h.MagicCookieValue {
		// Started by hand: descriptor 3 may be anything, and go-plugin explains to the person what this is.
		plugin.Serve(serveConfig(p, noNetwork{}, log))
		return
	}
	sock, err := control.Open(os.NewFile(control.Descriptor, "control"))
	if err != nil {
		log.Error("no control socket", "descriptor", control.Descriptor, "error", err)
		plugin.Serve(serveConfig(p, noNetwork{}, log))
		return
	}
	n := newNetwork(sock)
	go func() {
		// The control socket ends with the core, also when the core was killed: so does this process.
		_ = n.run()
		os.Exit(0)
	}()
	plugin.Serve(serveConfig(p, n, log))
}

func serveConfig(p Plugin, n Network, log *slog.Logger) *plugin.ServeConfig {
	return &plugin.ServeConfig{
		HandshakeConfig: Handshake(),
		Plugins:         plugin.PluginSet{pluginName: &border{impl: p, network: n, log: log}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, ServerOptions()...)...)
		},
		Logger: hclog.NewNullLogger(),
	}
}

// HostPlugins is what the core dispenses from: it knows nothing of a plugin but its kind.
func HostPlugins(kind string) plugin.PluginSet {
	return plugin.PluginSet{pluginName: &border{kind: kind}}
}

// HostDispense returns the plugin behind an established connection.
func HostDispense(c plugin.ClientProtocol) (Plugin, error) {
	raw, err := c.Dispense(pluginName)
	if err != nil {
		return nil, fmt.Errorf("plugin: %w", err)
	}
	p, ok := raw.(Plugin)
	if !ok {
		return nil, fmt.Errorf("plugin: unexpected %T", raw)
	}
	return p, nil
}

// border adapts the contract to go-plugin, on both sides of it.
type border struct {
	plugin.NetRPCUnsupportedPlugin
	kind    string
	impl    Plugin
	network Network
	log     *slog.Logger
}

func (b *border) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	return register(s, b.impl, b.network, b.log)
}

func (b *border) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return NewClient(c, b.kind)
}

// NewLogger makes the logger of a plugin process: JSON lines on standard error, which the core reads, limits in rate
// and length, and logs as its own.
func NewLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.MessageKey:
				a.Key = "message"
			case slog.LevelKey:
				a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
			}
			return a
		},
	}))
}

var errNoCore = errors.New("this process was not started by the gateway: it has no control socket")
