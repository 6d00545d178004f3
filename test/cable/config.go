package cable

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-gateway/sluice/hcl/examples"
)

// The names in the quickstart's configuration.
const (
	LinkName    = "plant-to-dmz"
	pairingName = "quickstart"
	plantName   = "plant"
	dmzName     = "dmz"
	stateBelow  = "var/quickstart" // of a node's directory: where the commands look when nobody says otherwise
)

// ports are free ones, so that the demo runs beside anything else.
type ports struct{ udp, tcp, tls, link int }

func freePorts(ctx context.Context) (ports, error) {
	var p ports
	for _, x := range []struct {
		network string
		port    *int
	}{{"udp", &p.udp}, {"tcp", &p.tcp}, {"tcp", &p.tls}, {"udp", &p.link}} {
		n, err := freePort(ctx, x.network)
		if err != nil {
			return p, err
		}
		*x.port = n
	}
	return p, nil
}

func freePort(ctx context.Context, network string) (int, error) {
	var lc net.ListenConfig
	var addr net.Addr
	if network == "tcp" {
		l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		defer l.Close() //nolint:errcheck // it was only to find a port
		addr = l.Addr()
	} else {
		c, err := lc.ListenPacket(ctx, "udp4", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		defer c.Close() //nolint:errcheck // it was only to find a port
		addr = c.LocalAddr()
	}
	at, err := netip.ParseAddrPort(addr.String())
	return int(at.Port()), err
}

// writeConfig copies the quickstart's configuration with other ports, and with a link that goes through the wire.
func writeConfig(dir string, p ports, wireAt string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	changes := []struct{ from, to string }{
		{"port = 5514", fmt.Sprintf("port = %d", p.udp)},
		{"port = 5140", fmt.Sprintf("port = %d", p.tcp)},
		{"port = 6514", fmt.Sprintf("port = %d", p.tls)},
		{`destination = "127.0.0.1:5760"`, fmt.Sprintf("destination = %q", wireAt)},
		{"receive {", fmt.Sprintf("receive {\n    listen = \"127.0.0.1:%d\"", p.link)},
	}
	made := make([]bool, len(changes))
	files := examples.Quickstart()
	names, err := fs.Glob(files, "*.hcl")
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		text := string(b)
		for i, c := range changes {
			made[i] = made[i] || strings.Contains(text, c.from)
			text = strings.ReplaceAll(text, c.from, c.to)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for i, c := range changes {
		if !made[i] {
			return fmt.Errorf("the quickstart's configuration has no %q any more: bring the demo up to date", c.from)
		}
	}
	return nil
}
