package tcp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/sluice-gateway/sluice/sdk"
)

// load makes the server's TLS settings: versions 1.2 and 1.3 with the cipher suites of the standard library.
func (c tlsConfig) load(s sdk.Setup) (*tls.Config, error) {
	pair, at, err := c.pair(s)
	if err != nil {
		return nil, configError(at, err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if !c.VerifyClients {
		return t, nil
	}
	pem, err := os.ReadFile(s.Path(c.ClientCAFile))
	if err != nil {
		return nil, configError("client_ca_file", err)
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, configError("client_ca_file", fmt.Errorf("%s holds no certificate in PEM", c.ClientCAFile))
	}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	return t, nil
}

// pair returns the certificate and the attribute that an error is about.
func (c tlsConfig) pair(s sdk.Setup) (pair tls.Certificate, attribute string, err error) {
	if c.Certificate == "" {
		pair, err = tls.LoadX509KeyPair(s.Path(c.CertificateFile), s.Path(c.KeyFile))
		return pair, "certificate_file", err
	}
	pem, ok := s.Certificates[c.Certificate]
	if !ok {
		return pair, "certificate", fmt.Errorf("the gateway handed over no certificate %q", c.Certificate)
	}
	pair, err = tls.X509KeyPair(pem.ChainPEM, pem.KeyPEM)
	return pair, "certificate", err
}

func configError(attribute string, err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w: receivers run as user %d, who must be allowed to read it", err, os.Geteuid())
	}
	return &sdk.Error{Code: sdk.CodeConfig, Detail: err.Error(), Path: []string{"tls", attribute}}
}

// identity is what a verified client certificate proves: its first URI, else its common name. Without a verified one
// it is "".
func identity(state tls.ConnectionState) string {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return ""
	}
	leaf := state.PeerCertificates[0]
	if len(leaf.URIs) > 0 {
		return leaf.URIs[0].String()
	}
	return leaf.Subject.CommonName
}
