package guard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeKernel is a kernel whose state and calls print as text.
type fakeKernel struct {
	mu     sync.Mutex // guards what follows
	links  []link
	routes map[netip.Addr]int
	calls  []string
	events chan struct{}
	fail   error // of the next Links and Subscribe
	table  map[tableKey]neighbour
	refuse error // of SetNeighbour

	files     map[string]string
	dev       device
	noDevice  error
	seen      traffic
	counts    map[string]frameCount // by interface
	noWatcher error
}

func (k *fakeKernel) ReadFile(path string) ([]byte, error) {
	if text, ok := k.files[path]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

func (k *fakeKernel) Device(string) (device, error) { return k.dev, k.noDevice }

func (k *fakeKernel) Watch(context.Context, int, string, wanted) (traffic, error) {
	return k.seen, k.noWatcher
}

func (k *fakeKernel) Count(ctx context.Context, _ int, name string, _ map[string]bool) (frameCount, error) {
	<-ctx.Done()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts[name], k.noWatcher
}

type tableKey struct {
	index int
	addr  netip.Addr
}

func (k *fakeKernel) Neighbour(index int, addr netip.Addr) (neighbour, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.table[tableKey{index, addr}], nil
}

func (k *fakeKernel) SetNeighbour(index int, addr netip.Addr, mac net.HardwareAddr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, fmt.Sprintf("neighbour %d %s %s", index, addr, mac))
	if k.refuse == nil {
		k.table[tableKey{index, addr}] = neighbour{mac.String(), true}
	}
	return k.refuse
}

// flush throws the neighbour entries away, as setting an interface down does.
func (k *fakeKernel) flush() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.table)
}

var errFake = errors.New("fake: refused")

func newFake(links ...link) *fakeKernel {
	return &fakeKernel{links: links, routes: map[netip.Addr]int{}, table: map[tableKey]neighbour{}}
}

func (k *fakeKernel) Links() ([]link, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, "list")
	return slices.Clone(k.links), k.fail
}

func (k *fakeKernel) Subscribe(ctx context.Context) (<-chan struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, "subscribe")
	if k.fail != nil {
		return nil, k.fail
	}
	events := make(chan struct{}, 1)
	k.events = events
	context.AfterFunc(ctx, func() { k.closeEvents(events) })
	return events, nil
}

func (k *fakeKernel) closeEvents(events chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if events != nil && k.events == events {
		close(events)
		k.events = nil
	}
}

func (k *fakeKernel) Route(dst netip.Addr) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if index, ok := k.routes[dst]; ok {
		return index, nil
	}
	return 0, errFake
}

// set replaces the links and raises an event.
func (k *fakeKernel) set(links ...link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.links = links
	if k.events != nil {
		select {
		case k.events <- struct{}{}:
		default:
		}
	}
}

// overrun closes the event channel, as the kernel's ENOBUFS does.
func (k *fakeKernel) overrun() {
	k.mu.Lock()
	events := k.events
	k.mu.Unlock()
	k.closeEvents(events)
}

func (k *fakeKernel) setFail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

func (k *fakeKernel) takeCalls() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := strings.Join(k.calls, " ")
	k.calls = nil
	return out
}

// text prints decisions one a line, for comparison.
func text(s Snapshot) string {
	var b strings.Builder
	for _, d := range s.Decisions {
		fmt.Fprintf(&b, "%d %s %s: %s\n", d.Index, d.Name, d.Role, d.Reason)
	}
	return b.String()
}

func trim(s string) string {
	return strings.TrimLeft(strings.ReplaceAll(s, "\t", ""), "\n")
}

var quiet = slog.New(slog.DiscardHandler)

func fakeGuard(t *testing.T, k *fakeKernel, p Policy) *Guard {
	t.Helper()
	g, err := newGuard(Options{Policy: p, Log: quiet, TendNeighbours: true}, k, byIndex, true)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// until polls, with a deadline, what another goroutine is about to do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still not after 10 s: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// Links used by many tests.
func ethernet(index int, name string) link {
	return link{index: index, name: name, kind: "device", up: true, carrier: true, mtu: 1500, mac: fmt.Sprintf("02:00:00:00:00:%02x", index)}
}

func loopback() link {
	return link{index: 1, name: "lo", kind: "device", up: true, carrier: true, mtu: 65536, loopback: true}
}
