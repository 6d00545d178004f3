package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/load"
)

// lab is where the sides are measured: a temporary directory with one certificate that both serve.
type lab struct {
	options
	root     string // short, because unix sockets lie below it
	certFile string
	keyFile  string
	rsyslogd string // empty: not installed
	frames   *load.Frames
	count    int    // sides started so far
	guard    *side  // the warden's process; nil without root
	warden   string // its socket
}

func newLab(o options) (*lab, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	o.bin = bin
	root, err := os.MkdirTemp(o.dir, "slb")
	if err != nil {
		return nil, err
	}
	if root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	l := &lab{
		options: o, root: root, certFile: filepath.Join(root, "bench.crt"), keyFile: filepath.Join(root, "bench.key"),
		frames: load.NewFrames(o.seed),
	}
	if path, err := exec.LookPath("rsyslogd"); err == nil {
		l.rsyslogd = path
	} else if _, err := os.Stat("/usr/sbin/rsyslogd"); err == nil {
		l.rsyslogd = "/usr/sbin/rsyslogd"
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	if err := l.makeCertificate(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	return l, nil
}

// checkPrograms looks whether everything that is measured has been built.
func (l *lab) checkPrograms() error {
	for _, name := range []string{"sluice", "sluice-receiver-tcp", "sluice-receiver-udp", "sluice-sink-file"} {
		if _, err := os.Stat(filepath.Join(l.bin, name)); err != nil {
			return fmt.Errorf("%w: run `make build` first", err)
		}
	}
	return nil
}

func (l *lab) close() {
	if l.guard != nil {
		_ = l.guard.stop() // it has nothing to say that a round would not have said
	}
	_ = os.RemoveAll(l.root)
}

// place makes a fresh directory for a side.
func (l *lab) place() (string, error) {
	l.count++
	dir := filepath.Join(l.root, fmt.Sprint(l.count))
	return dir, os.Mkdir(dir, 0o700)
}

// makeCertificate makes the pair that both sides serve, so that the handshake costs them the same.
func (l *lab) makeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"localhost"},
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
	if err := os.WriteFile(l.certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(l.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
}

// freePorts returns ports of 127.0.0.1 that nobody listens on, TCP and UDP both.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var ports []int
	var lc net.ListenConfig
	for range n {
		t, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer t.Close() //nolint:errcheck // it only keeps the port until all are found
		addr, _ := t.Addr().(*net.TCPAddr)
		u, err := lc.ListenPacket(ctx, "udp4", fmt.Sprintf("127.0.0.1:%d", addr.Port))
		if err != nil {
			return nil, err
		}
		defer u.Close() //nolint:errcheck // as above
		ports = append(ports, addr.Port)
	}
	return ports, nil
}
