package guard

import (
	"context"
	"fmt"
	"net/netip"
	"os"
)

// watcher counts what arrives at an interface until ctx ends.
type watcher interface {
	// Watch looks for the frames of one link.
	Watch(ctx context.Context, index int, name string, w wanted) (traffic, error)
	// Count tells frames for these addresses from those for others.
	Count(ctx context.Context, index int, name string, ours map[string]bool) (frameCount, error)
}

// looker opens a packet socket as OpenLook does.
type looker func(ctx context.Context, index int, name string) (*os.File, error)

// Watch implements watcher. The card is told to take frames for other machines
// as well; that ends with the socket.
func (look looker) Watch(ctx context.Context, index int, name string, w wanted) (traffic, error) {
	var seen traffic
	err := look.frames(ctx, index, name, func(head []byte, otherHost bool) { seen.take(head, otherHost, w) })
	return seen, err
}

// Count implements watcher.
func (look looker) Count(ctx context.Context, index int, name string, ours map[string]bool) (frameCount, error) {
	var seen frameCount
	err := look.frames(ctx, index, name, func(head []byte, _ bool) { seen.take(head, ours) })
	return seen, err
}

func (look looker) frames(ctx context.Context, index int, name string, each func(head []byte, otherHost bool)) error {
	file, err := look(ctx, index, name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := checkPacket(file, index, name); err != nil {
		return fmt.Errorf("guard: look at interface %s: %w", name, err)
	}
	if err := readFrames(ctx, file, each); err != nil {
		return fmt.Errorf("guard: look at interface %s: %w", name, err)
	}
	return nil
}

// packet opens the socket of DiodeCapture, here or in the privileged half.
func (g *Guard) packet(ctx context.Context, v verdict, source netip.Addr, listen netip.AddrPort) (*os.File, error) {
	q := PacketQuery{Index: v.Index, Name: v.Name, Source: source, Listen: listen}
	if g.opener == nil {
		return OpenPacket(q)
	}
	file, err := g.opener.Packet(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := checkPacket(file, q.Index, q.Name); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("guard: diode capture on interface %s: %w", q.Name, err)
	}
	return file, nil
}
