package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// Names of the plugins that do without the sdk, which would keep them in order.
const (
	RawHuge   = "raw-huge"   // says of itself more than the core may have to hold
	RawUnread = "raw-unread" // sends batches without end and reads no answer
	RawWords  = "raw-words"  // refuses its configuration with more words than anybody wants in a log
	RawBeyond = "raw-beyond" // sends more than its credit
)

// hugeSchema is what RawHuge says of itself: four times what the contract's transport carries.
const hugeSchema = 64 << 20

// manyWords of seven bytes fit a trailer of gRPC.
const manyWords = 100_000

// ServeRaw is a plugin that speaks the transport by itself. It returns when it has failed.
func ServeRaw(name string) error {
	path := filepath.Join(os.Getenv(socketDir), "raw")
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		return err
	}
	pair, err := selfSigned()
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})))
	proto.RegisterPluginServer(s, &rawPlugin{name: name})
	proto.RegisterReceiverServer(s, &rawReceiver{name: name})
	h := health.NewServer()
	h.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s, h)
	greeting := []string{"1", fmt.Sprint(sdk.APIVersion), "unix", path, "grpc", base64.RawStdEncoding.EncodeToString(pair.Certificate[0])}
	if _, err := fmt.Fprintln(os.Stdout, strings.Join(greeting, "|")); err != nil {
		return err
	}
	return s.Serve(l)
}

// selfSigned is what go-plugin's AutoMTLS asks of a plugin: a certificate for "localhost" that is its own authority.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// rawPlugin answers what every plugin is asked.
type rawPlugin struct {
	proto.UnimplementedPluginServer
	name string
}

func (p *rawPlugin) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	schema := `{}`
	if p.name == RawHuge {
		schema = `{"doc":"` + strings.Repeat("x", hugeSchema) + `"}`
	}
	return &proto.DescribeResponse{Kind: sdk.KindReceiver, Name: p.name, Version: "6.6.6", Api: sdk.APIVersion, Schema: []byte(schema)}, nil
}

func (p *rawPlugin) Configure(context.Context, *proto.ConfigureRequest) (*proto.ConfigureResponse, error) {
	if p.name == RawWords {
		return nil, status.Error(codes.Internal, strings.Repeat("a word ", manyWords))
	}
	return &proto.ConfigureResponse{}, nil
}

// rawReceiver floods.
type rawReceiver struct {
	proto.UnimplementedReceiverServer
	name string
}

// Run reads what opens the stream and then nothing.
func (r *rawReceiver) Run(s grpc.BidiStreamingServer[proto.FromCore, proto.Batch]) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	batch := &proto.Batch{Data: []byte("x")}
	if r.name == RawBeyond {
		batch.Data = make([]byte, sdk.MaxBatchBytes)
	}
	for {
		if err := s.Send(batch); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
