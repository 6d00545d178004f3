package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

const (
	nearNode = "near"
	farNode  = "far"
)

// site is the configuration that is measured: the quickstart's shape with room and rate.
const site = `gateway {
  site = "bench"
}

node "near" {
  service_interfaces = ["lo"]

  spool {
    max_size = "20GiB"
  }
}

node "far" {
  service_interfaces = ["lo"]

  spool {
    max_size = "20GiB"
  }
}

diode "link" {
  from    = node.near
  to      = node.far
  pairing = "bench"

  send {
    interface   = "lo"
    source      = "127.0.0.1"
    destination = "127.0.0.1:{{.Link}}"
    rate        = "{{.Rate}}"
  }

  receive {
    interface = "lo"
  }
}

receiver "tcp" "tls" {
  node = node.near
  port = {{.TLS}}

  config {
    tls {
      certificate = "bench"
    }
  }
}

receiver "udp" "plain" {
  node = node.near
  port = {{.UDP}}

  config {
    protocol = "syslog"
  }
}

sink "file" "records" {
  node = node.far

  config {
    path        = "out/records.ndjson"
    rotate_size = "1TiB"
  }
}

route "all" {
  from = [receiver.tcp.tls, receiver.udp.plain]
  via  = diode.link
  to   = [sink.file.records]
}

exception "bench" {
  allows      = "unencrypted_udp"
  on          = receiver.udp.plain
  reason      = "measured on the loopback interface"
  approved_by = "bench"
  until       = "2099-12-31"
}
`

// startSluice runs both nodes as two processes, as a site does.
func startSluice(ctx context.Context, l *lab) (*side, error) {
	dir, err := l.place()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	near, far := filepath.Join(dir, "n"), filepath.Join(dir, "f")
	s := &side{
		name: "sluice", dir: dir, output: filepath.Join(far, "out", "records.ndjson"),
		tls: fmt.Sprintf("127.0.0.1:%d", ports[0]), udp: fmt.Sprintf("127.0.0.1:%d", ports[1]),
	}
	conf, err := writeSite(dir, map[string]any{"TLS": ports[0], "UDP": ports[1], "Link": ports[2], "Rate": l.linkRate})
	if err != nil {
		return nil, err
	}
	if err := provision(l, near, far); err != nil {
		return nil, err
	}
	var more []string
	if l.warden != "" {
		more = []string{"--warden", l.warden}
	}
	for _, x := range []struct{ node, state string }{{nearNode, near}, {farNode, far}} {
		args := append([]string{"run", "--config", conf, "--node", x.node, "--state", x.state, "--plugins", l.bin}, more...)
		if err := s.start(ctx, x.node+"-core", filepath.Join(l.bin, "sluice"), args...); err != nil {
			return nil, s.abandon(err)
		}
	}
	s.figures = func(ctx context.Context) (figures, error) { return sluiceFigures(ctx, near, far) }
	err = await(ctx, "sluice", func() (bool, error) { return sluiceReady(ctx, near, far) })
	if err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

func writeSite(dir string, values map[string]any) (string, error) {
	var b strings.Builder
	if err := template.Must(template.New("site").Parse(site)).Execute(&b, values); err != nil {
		return "", err
	}
	conf := filepath.Join(dir, "c")
	if err := os.Mkdir(conf, 0o700); err != nil {
		return "", err
	}
	return conf, os.WriteFile(filepath.Join(conf, "site.hcl"), []byte(b.String()), 0o600)
}

// provision gives each node its half of the link's pairing, and the near one its certificate: what a person does at a
// site.
func provision(l *lab, near, far string) error {
	send, receive, err := pairing.Make("link", "bench", nil)
	if err != nil {
		return err
	}
	for state, file := range map[string]pairing.File{near: send, far: receive} {
		if _, err := pairing.Write(filepath.Join(state, "keys"), file); err != nil {
			return err
		}
	}
	certificates := filepath.Join(near, nearNode, "certificates")
	if err := os.MkdirAll(certificates, 0o700); err != nil {
		return err
	}
	for _, from := range []string{l.certFile, l.keyFile} {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(certificates, filepath.Base(from)), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func statuses(ctx context.Context, near, far string) (n, f console.Status, err error) {
	if n, err = console.Fetch(ctx, gateway.Socket(near, nearNode)); err != nil {
		return n, f, err
	}
	f, err = console.Fetch(ctx, gateway.Socket(far, farNode))
	return n, f, err
}

// sluiceReady waits for both nodes and for the first heartbeat, so that no round begins before the link stands.
func sluiceReady(ctx context.Context, near, far string) (bool, error) {
	n, f, err := statuses(ctx, near, far)
	if err != nil {
		return false, err
	}
	return n.Ready && f.Ready && len(f.Links) == 1 && f.Links[0].State == "up", nil
}

func sluiceFigures(ctx context.Context, near, far string) (figures, error) {
	n, f, err := statuses(ctx, near, far)
	if err != nil {
		return figures{}, err
	}
	var send console.SendEnd
	var recv console.ReceiveEnd
	for _, l := range slices.Concat(n.Links, f.Links) {
		if l.Send != nil {
			send = *l.Send
		}
		if l.Receive != nil {
			recv = *l.Receive
		}
	}
	detail, err := json.Marshal([]any{send, recv})
	if err != nil {
		return figures{}, err
	}
	out := figures{
		wireBytes: send.WireBytes, gaps: recv.Gaps, repaired: recv.BlocksRepaired, kernelDrops: recv.KernelDrops, detail: string(detail),
		shape: fmt.Sprintf("%d+%d shards of %d bytes, UDP segmentation by the kernel %t", send.DataShards, send.ParityShards, send.ShardBytes, send.Segmentation),
	}
	udp := 0
	for _, r := range n.Receivers {
		out.counted += r.Traffic.KernelDrops
		for _, d := range r.Dropped {
			out.counted += d.Records
		}
		udp = max(udp, r.Traffic.ReceiveBuffer)
	}
	for _, l := range f.Links {
		out.counted += l.Lost.Records
		for _, d := range l.Dropped {
			out.counted += d.Records
		}
	}
	out.buffers = fmt.Sprintf("receiver %d KiB, link %d KiB", udp>>10, recv.ReceiveBuffer>>10)
	return out, nil
}
