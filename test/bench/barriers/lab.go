package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/load"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// Interfaces of a node.
const (
	serviceIf = "svc0"
	monitorIf = "mon0"
)

// lab is a place for both nodes, and the endpoint that sends to them.
type lab struct {
	options
	root      string // short, because unix sockets lie below it
	endpoint  *netlab.Namespace
	on, off   place
	frames    *load.Frames
	cert, key []byte // PEM
	count     int    // rounds so far
}

// place is where a node runs.
type place struct {
	ns      *netlab.Namespace
	addr    netip.Addr
	guarded bool
}

func newLab(tb testing.TB, o options, root string) (*lab, error) {
	tb.Helper()
	n := netlab.New(tb)
	l := &lab{
		options: o, root: root, endpoint: n.Namespace("endpoint"), frames: load.NewFrames(o.seed),
		on:  place{n.Namespace("guarded"), netip.MustParseAddr("10.91.1.1"), true},
		off: place{n.Namespace("open"), netip.MustParseAddr("10.91.2.1"), false},
	}
	for i, p := range []place{l.on, l.off} {
		side := []string{"on", "off"}[i]
		n.Cable(
			netlab.End{In: p.ns, Name: serviceIf, Addrs: []netip.Prefix{netip.PrefixFrom(p.addr, 24)}},
			netlab.End{In: l.endpoint, Name: "to-" + side, Addrs: []netip.Prefix{netip.PrefixFrom(p.addr.Next(), 24)}})
		n.Cable(netlab.End{In: p.ns, Name: monitorIf}, netlab.End{In: l.endpoint, Name: "mirror-" + side})
	}
	tb.Cleanup(l.on.ns.Empty) // what keeps the fence of the guarded node
	return l, l.makeCertificate()
}

// in prepares a program in a namespace. Unlike ip-netns(8), nsenter(1) leaves /sys as it is, and with it the control
// groups.
func in(ctx context.Context, n *netlab.Namespace, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.Path()}, args...)...)
}

// newDir makes a fresh directory for a round.
func (l *lab) newDir() (string, error) {
	l.count++
	dir := filepath.Join(l.root, string(rune('a'+l.count%26))+time.Now().Format("150405"))
	return dir, os.Mkdir(dir, 0o700)
}

func (l *lab) makeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: certName}, DNSNames: []string{"localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	l.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	l.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return os.WriteFile(l.ca(), l.cert, 0o600)
}

// ca is the file that the generator trusts.
func (l *lab) ca() string { return filepath.Join(l.root, "ca.pem") }
