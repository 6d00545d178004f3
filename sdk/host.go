package sdk

import (
	"log/slog"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/control"
)

// Sizes of the transport (ours). Credit is the only thing that stops a receiver: the windows are larger than it, so
// that a stream's Send never waits for the core and a Deliver always obeys its context.
const (
	maxMessageBytes  = 16 << 20 // go-plugin lifts gRPC's 4 MiB limit on the host's side only
	pluginWindow     = 4 << 20  // what a sink may be handed before it reads, per stream
	pluginConnWindow = 8 << 20
	coreWindow       = DefaultCredit + 2*MaxBatchBytes // per class
	coreConnWindow   = 2*coreWindow + 4<<20            // both classes and the unary calls
)

// ServerOptions are the options of a plugin's gRPC server.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.InitialWindowSize(pluginWindow), grpc.InitialConnWindowSize(pluginConnWindow),
	}
}

// DialOptions are the options with which the core dials a plugin.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithInitialWindowSize(coreWindow), grpc.WithInitialConnWindowSize(coreConnWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
	}
}

// Register serves p, a Receiver or a Sink, on a gRPC server. Serve does this in a plugin process; a test does it to
// have both sides of the border in one process.
func Register(s grpc.ServiceRegistrar, p Plugin, n Network, log *slog.Logger) error {
	return register(s, p, n, log)
}

// OpenNetwork makes the plugin's side of a control socket. The function reads it until the core has gone, must run for
// the Network to work, and returns why it ended.
func OpenNetwork(sock *control.Socket) (Network, func() error) {
	n := newNetwork(sock)
	return n, n.run
}
