// Command cmd sends the traffic of package trafficgen and says
// "sent N bytes N refused N" at the end.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/test/trafficgen"
)

type options struct {
	network, to, source, kind, framing, ca, name string
	seed, count, least, most                     int
	rate                                         float64
	linger                                       time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.network, "network", "udp", "udp, tcp or tls")
	flag.StringVar(&o.to, "to", "", "`address` and port")
	flag.StringVar(&o.source, "source", "", "source `address`, with or without port")
	flag.StringVar(&o.kind, "kind", "datagrams", "datagrams or syslog")
	flag.StringVar(&o.framing, "framing", "octet", "octet or lf, of syslog over tcp and tls")
	flag.StringVar(&o.ca, "ca", "", "`file` with the certificates to trust; without it any is accepted")
	flag.StringVar(&o.name, "name", "", "`name` to expect in the certificate")
	flag.IntVar(&o.seed, "seed", 1, "`number` that the content follows from")
	flag.IntVar(&o.count, "count", 1000, "`number` of datagrams or messages")
	flag.IntVar(&o.least, "least", 1, "smallest datagram in `bytes`")
	flag.IntVar(&o.most, "most", 1400, "largest datagram in `bytes`")
	flag.Float64Var(&o.rate, "rate", 0, "items per second; 0 is as fast as possible")
	flag.DurationVar(&o.linger, "linger", 30*time.Second, "how long to wait for the peer to close a stream")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing is left that stop would end
	}
}

func run(ctx context.Context, o options) error {
	items, err := content(o)
	if err != nil {
		return err
	}
	c, err := connect(ctx, o)
	if err != nil {
		return err
	}
	w, flush := io.Writer(c), func() error { return nil }
	if o.network != "udp" && o.rate == 0 {
		b := bufio.NewWriterSize(c, 1<<16)
		w, flush = b, b.Flush
	}
	sent, err := trafficgen.Send(ctx, w, items, o.rate)
	err = errors.Join(err, flush(), trafficgen.Finish(c, o.linger))
	fmt.Println("sent", sent.Count, "bytes", sent.Bytes, "refused", sent.Refused)
	return err
}

func content(o options) (iter.Seq2[int, []byte], error) {
	if o.seed < 0 || o.count < 0 || o.least < 1 || o.most < o.least || o.most > 65507 {
		return nil, errors.New("trafficgen: want 0 ≤ seed, 0 ≤ count, 1 ≤ least ≤ most ≤ 65507")
	}
	seed := uint32(o.seed)
	switch {
	case o.kind == "datagrams" && o.network == "udp":
		return trafficgen.Datagrams(seed, o.count, o.least, o.most), nil
	case o.kind == "syslog" && o.network == "udp":
		return trafficgen.Messages(seed, o.count), nil
	case o.kind == "syslog" && (o.framing == "octet" || o.framing == "lf"):
		return trafficgen.Framed(trafficgen.Messages(seed, o.count), trafficgen.Framing(o.framing)), nil
	}
	return nil, fmt.Errorf("trafficgen: no %s over %s with framing %q", o.kind, o.network, o.framing)
}

func connect(ctx context.Context, o options) (net.Conn, error) {
	var d net.Dialer
	var err error
	if d.LocalAddr, err = local(o); err != nil {
		return nil, err
	}
	switch o.network {
	case "udp", "tcp":
		return d.DialContext(ctx, o.network, o.to)
	case "tls":
		conf, err := trust(o)
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{NetDialer: &d, Config: conf}).DialContext(ctx, "tcp", o.to)
	}
	return nil, fmt.Errorf("trafficgen: -network %q: want udp, tcp or tls", o.network)
}

func local(o options) (net.Addr, error) {
	if o.source == "" {
		return nil, nil
	}
	at, err := netip.ParseAddrPort(o.source)
	if err != nil {
		addr, aerr := netip.ParseAddr(o.source)
		if aerr != nil {
			return nil, fmt.Errorf("trafficgen: -source: %w", err)
		}
		at = netip.AddrPortFrom(addr, 0)
	}
	if o.network == "udp" {
		return net.UDPAddrFromAddrPort(at), nil
	}
	return net.TCPAddrFromAddrPort(at), nil
}

func trust(o options) (*tls.Config, error) {
	conf := &tls.Config{ServerName: o.name, MinVersion: tls.VersionTLS12}
	if o.ca == "" {
		conf.InsecureSkipVerify = true // a generator for tests; -ca verifies
		return conf, nil
	}
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, fmt.Errorf("trafficgen: -ca: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("trafficgen: -ca %s: no certificate in it", o.ca)
	}
	return conf, nil
}
