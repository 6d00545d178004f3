package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

const (
	node     = "plant"
	certName = "bench"
	tlsPort  = 6514
	udpPort  = 5140

	startPatience = 15 * time.Second
	stopPatience  = 10 * time.Second
	readyPoll     = 10 * time.Millisecond
)

// site is the configuration of both nodes; only the guarded one has a monitoring point.
const site = `gateway {
  site = "bench"
}

node "plant" {
  service_interfaces = ["svc0"]
{{- if .Guarded}}
  monitoring_points  = ["mon0"]
{{- end}}

  spool {
    max_size = "20GiB"
  }
}

receiver "tcp" "tls" {
  node = node.plant
  port = 6514

  config {
    tls {
      certificate = "bench"
    }
  }
}

receiver "udp" "plain" {
  node = node.plant
  port = 5140

  config {
    protocol = "opaque"
  }
}

sink "file" "tls" {
  node = node.plant

  config {
    path        = "out/tls.ndjson"
    rotate_size = "1TiB"
  }
}

sink "file" "udp" {
  node = node.plant

  config {
    path        = "out/udp.ndjson"
    rotate_size = "1TiB"
  }
}

route "streams" {
  from = [receiver.tcp.tls]
  to   = [sink.file.tls]
}

route "datagrams" {
  from = [receiver.udp.plain]
  to   = [sink.file.udp]
}

exception "bench" {
  allows      = "unencrypted_udp"
  on          = receiver.udp.plain
  reason      = "measured between network namespaces"
  approved_by = "bench"
  until       = "2099-12-31"
}
`

// running is a node that runs, with its warden.
type running struct {
	place
	dir       string
	processes []*exec.Cmd // in the order in which they end: the core, then the warden
}

// startNode starts the node of a place in a fresh directory, as a site does, or without its barriers.
func (l *lab) startNode(ctx context.Context, p place) (*running, error) {
	dir, err := l.newDir()
	if err != nil {
		return nil, err
	}
	r := &running{place: p, dir: dir}
	if err := l.provision(r); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "c")
	args := []string{"--config", conf, "--state", dir, "--plugins", l.bin}
	if p.guarded {
		warden, err := l.startWarden(ctx, r)
		if err != nil {
			return nil, r.abandon(err)
		}
		err = r.start(ctx, "core", append([]string{filepath.Join(l.bin, "sluice"), "run", "--node", node, "--warden", warden}, args...)...)
		if err != nil {
			return nil, r.abandon(err)
		}
		r.processes[0], r.processes[1] = r.processes[1], r.processes[0]
	} else {
		self, err := os.Executable()
		if err == nil {
			err = r.start(ctx, "core", append([]string{self, verbCore}, args...)...)
		}
		if err != nil {
			return nil, r.abandon(err)
		}
	}
	if err := r.await(ctx, func() error { return r.ready(ctx) }); err != nil {
		return nil, r.abandon(err)
	}
	return r, nil
}

// startWarden starts the warden of this round. It continues the fence of the last one, which a keeper holds.
func (l *lab) startWarden(ctx context.Context, r *running) (socket string, err error) {
	state := filepath.Join(l.root, "guard")
	socket = filepath.Join(state, "warden.sock")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return "", err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	err = r.start(ctx, "warden", filepath.Join(l.bin, "sluice"), "guard-warden", "--socket", socket, "--state", state, "--uid", "0", "--node", node)
	if err != nil {
		return "", err
	}
	return socket, r.await(ctx, func() error {
		_, err := os.Stat(socket)
		return err
	})
}

// provision writes the configuration and the certificate.
func (l *lab) provision(r *running) error {
	var b strings.Builder
	if err := template.Must(template.New("site").Parse(site)).Execute(&b, map[string]bool{"Guarded": r.guarded}); err != nil {
		return err
	}
	certificates := filepath.Join(r.dir, node, "certificates")
	return errors.Join(
		os.Mkdir(filepath.Join(r.dir, "c"), 0o700), os.WriteFile(filepath.Join(r.dir, "c", "site.hcl"), []byte(b.String()), 0o600),
		os.MkdirAll(certificates, 0o700), os.WriteFile(filepath.Join(certificates, certName+".crt"), l.cert, 0o600),
		os.WriteFile(filepath.Join(certificates, certName+".key"), l.key, 0o600),
	)
}

// start runs a program in the node's namespace; what it says goes to a log.
func (r *running) start(ctx context.Context, role string, args ...string) error {
	f, err := os.OpenFile(filepath.Join(r.dir, role+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // the child has its own descriptor
	cmd := in(ctx, r.ns, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	if err := cmd.Start(); err != nil {
		return err
	}
	r.processes = append(r.processes, cmd)
	return nil
}

// ready fails until the node is, and, where it is guarded, everything stands.
func (r *running) ready(ctx context.Context) error {
	st, err := r.status(ctx)
	if err != nil {
		return err
	}
	if w := st.Guard.Warden; r.guarded && (w == nil || !w.Known || len(st.Guard.Trips) > 0) {
		return fmt.Errorf("guard: %+v", st.Guard)
	}
	if !st.Ready {
		return errors.New("not ready")
	}
	return nil
}

func (r *running) status(ctx context.Context) (console.Status, error) {
	return console.Fetch(ctx, gateway.Socket(r.dir, node))
}

// await polls until ok, or the end of patience.
func (r *running) await(ctx context.Context, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// pids are the processes whose work is counted, with what they have started.
func (r *running) pids() []int {
	var pids []int
	for _, c := range r.processes {
		pids = append(pids, c.Process.Pid)
	}
	return pids
}

// stop ends the node, then its warden, and removes what they wrote.
func (r *running) stop() error {
	var errs []error
	for _, c := range r.processes {
		_ = c.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(stopPatience, func() { _ = c.Process.Kill() })
		if err := c.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Args[2], err))
		}
		kill.Stop()
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

// abandon stops a node that did not start.
func (r *running) abandon(err error) error { return errors.Join(r.explain(err), r.stop()) }

// explain adds the end of the node's logs to an error.
func (r *running) explain(err error) error {
	logs, _ := filepath.Glob(filepath.Join(r.dir, "*.log"))
	for _, path := range logs {
		b, _ := os.ReadFile(path)
		err = fmt.Errorf("%w\n%s: %s", err, filepath.Base(path), b[max(0, len(b)-2000):])
	}
	return err
}
