package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// register serves one plugin, a Receiver or a Sink, on a gRPC server.
func register(s grpc.ServiceRegistrar, p Plugin, network Network, log *slog.Logger) error {
	state := newLifecycle()
	proto.RegisterPluginServer(s, &pluginServer{plugin: p, state: state, log: log})
	switch impl := p.(type) {
	case Receiver:
		proto.RegisterReceiverServer(s, &receiverServer{receiver: impl, state: state, network: network})
	case Sink:
		proto.RegisterSinkServer(s, &sinkServer{sink: impl, state: state, network: network})
	default:
		return fmt.Errorf("sdk: %T is neither a Receiver nor a Sink", p)
	}
	return nil
}

// pluginServer serves the unary half of the contract.
type pluginServer struct {
	proto.UnimplementedPluginServer
	plugin Plugin
	state  *lifecycle
	log    *slog.Logger
}

func (s *pluginServer) Describe(ctx context.Context, _ *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	info, err := s.plugin.Describe(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	schema, err := json.Marshal(info.Schema)
	if err != nil {
		return nil, toStatus(fmt.Errorf("describe: %w", err))
	}
	return &proto.DescribeResponse{
		Kind: text(info.Kind), Name: text(info.Name), Version: text(info.Version), Api: APIVersion, Schema: schema,
	}, nil
}

func (s *pluginServer) Validate(ctx context.Context, r *proto.ValidateRequest) (*proto.ValidateResponse, error) {
	traits, problems, err := s.plugin.Validate(ctx, r.GetConfig())
	if err != nil {
		return nil, toStatus(err)
	}
	t, err := json.Marshal(traits)
	if err != nil {
		return nil, toStatus(fmt.Errorf("validate: %w", err))
	}
	out := &proto.ValidateResponse{Traits: t}
	for _, p := range problems {
		out.Problems = append(out.Problems, &proto.Problem{Path: texts(p.Path), Text: text(p.Text), Advice: text(p.Advice)})
	}
	return out, nil
}

func (s *pluginServer) Configure(ctx context.Context, r *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	setup, err := setupFrom(r, s.log)
	if err != nil {
		return nil, toStatus(err)
	}
	if err := s.state.configure(func() error { return s.plugin.Configure(ctx, setup) }); err != nil {
		return nil, toStatus(err)
	}
	return &proto.ConfigureResponse{}, nil
}

func (s *pluginServer) Drain(ctx context.Context, r *proto.DrainRequest) (*proto.DrainResponse, error) {
	ctx, cancel := context.WithDeadline(ctx, time.Unix(0, r.GetDeadlineUnixNano()))
	defer cancel()
	return &proto.DrainResponse{}, toStatus(s.plugin.Drain(ctx))
}

func setupFrom(r *proto.ConfigureRequest, log *slog.Logger) (Setup, error) {
	s := Setup{
		Name: r.GetName(), Config: r.GetConfig(), StateDir: r.GetStateDir(), RootDir: r.GetRootDir(),
		Compression: r.GetCompression(), Certificates: map[string]Certificate{}, Connect: r.GetConnect(), Log: log.With("component", r.GetName()),
	}
	if len(r.GetStreamId()) != len(s.Stream) {
		return s, &Error{Code: CodeConfig, Detail: fmt.Sprintf("stream id of %d bytes, it has %d", len(r.GetStreamId()), len(s.Stream))}
	}
	copy(s.Stream[:], r.GetStreamId())
	for _, c := range r.GetCertificates() {
		s.Certificates[c.GetName()] = Certificate{ChainPEM: c.GetChainPem(), KeyPEM: c.GetKeyPem()}
	}
	return s, nil
}
