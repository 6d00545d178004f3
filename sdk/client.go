package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// DefaultCredit is how many bytes of batches may be unacknowledged on a receiver's stream (ours, measured: 8 MiB keeps
// a 2-core machine busy across a slow fdatasync).
const DefaultCredit = 8 << 20

// ClientOption changes what NewClient makes.
type ClientOption func(*clientOptions)

type clientOptions struct{ credit int64 }

// WithCredit gives each of a receiver's streams a credit other than DefaultCredit: 1 to DefaultCredit bytes.
func WithCredit(bytes int) ClientOption {
	return func(o *clientOptions) { o.credit = int64(min(max(bytes, 1), DefaultCredit)) }
}

// NewClient returns the core's view of a plugin behind a gRPC connection: a Receiver or a Sink, by kind. The Network
// argument of its Run is not used: the plugin's network is the control socket that it inherited.
func NewClient(conn grpc.ClientConnInterface, kind string, options ...ClientOption) (Plugin, error) {
	o := clientOptions{credit: DefaultCredit}
	for _, option := range options {
		option(&o)
	}
	c := pluginClient{rpc: proto.NewPluginClient(conn)}
	switch kind {
	case KindReceiver:
		return &receiverClient{pluginClient: c, rpc: proto.NewReceiverClient(conn), credit: o.credit}, nil
	case KindSink:
		return &sinkClient{pluginClient: c, rpc: proto.NewSinkClient(conn)}, nil
	default:
		return nil, fmt.Errorf("sdk: unknown kind of plugin %q", kind)
	}
}

type pluginClient struct{ rpc proto.PluginClient }

func (c pluginClient) Describe(ctx context.Context) (Info, error) {
	r, err := c.rpc.Describe(ctx, &proto.DescribeRequest{})
	if err != nil {
		return Info{}, fromStatus(err)
	}
	info := Info{Kind: text(r.GetKind()), Name: text(r.GetName()), Version: text(r.GetVersion()), API: int(r.GetApi())}
	if info.API != APIVersion {
		return info, &Error{Code: CodeRefused, Detail: fmt.Sprintf(
			"plugin %s %s %s speaks contract version %d, this gateway %d: install a plugin that was built for this gateway",
			info.Kind, info.Name, info.Version, info.API, APIVersion)}
	}
	if err := json.Unmarshal(r.GetSchema(), &info.Schema); err != nil {
		return info, fmt.Errorf("plugin %s %s: schema: %w", info.Kind, info.Name, err)
	}
	return info, nil
}

// maxProblems is how many findings of one body are kept (ours: more than anybody reads).
const maxProblems = 100

func (c pluginClient) Validate(ctx context.Context, config json.RawMessage) (Traits, []Problem, error) {
	r, err := c.rpc.Validate(ctx, &proto.ValidateRequest{Config: config})
	if err != nil {
		return Traits{}, nil, fromStatus(err)
	}
	var t Traits
	if err := json.Unmarshal(r.GetTraits(), &t); err != nil {
		return t, nil, fmt.Errorf("plugin: traits: %w", err)
	}
	var problems []Problem
	for _, p := range r.GetProblems()[:min(len(r.GetProblems()), maxProblems)] {
		problems = append(problems, Problem{Path: texts(p.GetPath()), Text: text(p.GetText()), Advice: text(p.GetAdvice())})
	}
	return t, problems, nil
}

func (c pluginClient) Configure(ctx context.Context, s Setup) error {
	r := &proto.ConfigureRequest{
		Name: s.Name, StreamId: s.Stream[:], Config: s.Config, StateDir: s.StateDir, RootDir: s.RootDir,
		Compression: s.Compression, Connect: s.Connect,
	}
	for name, cert := range s.Certificates {
		r.Certificates = append(r.Certificates, &proto.Certificate{Name: name, ChainPem: cert.ChainPEM, KeyPem: cert.KeyPEM})
	}
	_, err := c.rpc.Configure(ctx, r)
	return fromStatus(err)
}

// Drain needs a deadline in ctx; without one it gives the plugin ten seconds.
func (c pluginClient) Drain(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	_, err := c.rpc.Drain(ctx, &proto.DrainRequest{DeadlineUnixNano: deadline.UnixNano()})
	return fromStatus(err)
}
