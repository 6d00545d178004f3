package cable

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// poll is how often the nodes are asked (ours).
const poll = 50 * time.Millisecond

// Site is two nodes and the cable between them.
type Site struct {
	Plant, DMZ *Node
	Wire       *Wire
	// Syslog is the port of 127.0.0.1 where the plant node takes syslog over TCP.
	Syslog int

	unplug func()
	wires  sync.WaitGroup
}

// New makes both machines below an empty directory, with the programs of bin; nothing runs yet. The directory's path
// must be short: unix sockets lie below it. ctx ends the commands that make the keys.
func New(ctx context.Context, dir, bin string) (*Site, error) {
	p, err := freePorts(ctx)
	if err != nil {
		return nil, err
	}
	s := &Site{Syslog: p.tcp, unplug: func() {}}
	far := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(p.link))
	if s.Wire, err = newWire(ctx, far); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config")
	if err := writeConfig(config, p, s.Wire.address()); err != nil {
		return nil, errors.Join(err, s.Wire.close())
	}
	for name, n := range map[string]**Node{plantName: &s.Plant, dmzName: &s.DMZ} {
		*n = &Node{Name: name, dir: filepath.Join(dir, name), bin: bin, config: config}
		if err := os.MkdirAll((*n).state(), 0o700); err != nil {
			return nil, errors.Join(err, s.Wire.close())
		}
	}
	if err := s.pair(ctx, filepath.Join(dir, "carried")); err != nil {
		return nil, errors.Join(err, s.Wire.close())
	}
	return s, nil
}

// pair makes the keys and carries each to its machine.
func (s *Site) pair(ctx context.Context, carried string) error {
	if _, err := s.Plant.Sluice(ctx, "diode", "pair", LinkName, "--pairing", pairingName, "--out", carried); err != nil {
		return err
	}
	for side, n := range map[string]*Node{"send": s.Plant, "receive": s.DMZ} {
		file := filepath.Join(carried, LinkName+"-"+pairingName+"."+side+".json")
		if _, err := n.Sluice(ctx, "diode", "pair", "--install", file); err != nil {
			return err
		}
	}
	return nil
}

// Start runs the cable and both nodes. Stop must be called, also after an error.
func (s *Site) Start() error {
	ctx, cancel := context.WithCancel(context.Background())
	s.unplug = cancel
	s.wires.Go(func() { s.Wire.run(ctx) })
	for _, n := range []*Node{s.DMZ, s.Plant} {
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends both nodes in order and takes the cable away.
func (s *Site) Stop() {
	s.Plant.stop()
	s.DMZ.stop()
	s.unplug()
	s.wires.Wait()
	_ = s.Wire.close() // it is closed already when it ran
}

// Up reports whether all of both nodes runs and the far one hears the near one.
func (s *Site) Up(ctx context.Context) bool {
	_, plant := s.Plant.Link(ctx)
	l, dmz := s.DMZ.Link(ctx)
	return plant && dmz && l.State == "up"
}

// Until waits for something of the nodes, as long as ctx lasts and both run.
func (s *Site) Until(ctx context.Context, ok func(context.Context) bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !ok(ctx) {
		if err := errors.Join(s.Plant.Ended(), s.DMZ.Ended()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
