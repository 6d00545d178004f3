package warden

import (
	"context"
	"encoding/binary"
	"fmt"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// movesMost bounds the moves that wait for the loop. Ours: what does not fit
// was no fenced interface in any sane machine, and the interface is gone from
// the list in any case.
const movesMost = 64

// nudgeEvery bounds how often events make the loop look: other programs may
// change filters all the time. Ours.
const nudgeEvery = 20 * time.Millisecond

// mover follows what the decider does not look at. It tells the index of each
// interface that goes into another network namespace: an interface that is
// deleted and one that moves both vanish, and only this message tells which
// (RTM_DELLINK with IFLA_NEW_NETNSID). And it nudges when somebody changes
// traffic control, so that a filter that is taken away is back at once.
type mover struct {
	socket *nl.NetlinkSocket
	moves  chan int
	nudges chan struct{} // of capacity 1
}

func newMover() (*mover, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_TC)
	if err != nil {
		return nil, fmt.Errorf("guard: warden: subscribe to interface events: %w", err)
	}
	_ = s.SetReceiveBufferSize(eventBuffer, true) // what is refused here leaves the default
	return &mover{socket: s, moves: make(chan int, movesMost), nudges: make(chan struct{}, 1)}, nil
}

// run reads until ctx ends.
func (m *mover) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, m.socket.Close)
	defer stop()
	for ctx.Err() == nil {
		messages, _, err := m.socket.Receive()
		if err != nil {
			wake(m.nudges) // an overrun; when ctx has ended, the end
			pause(ctx, nudgeEvery)
			continue
		}
		if m.take(messages) {
			wake(m.nudges)
			pause(ctx, nudgeEvery)
		}
	}
}

// take reports whether a message is one of traffic control.
func (m *mover) take(messages []syscall.NetlinkMessage) (filters bool) {
	for _, message := range messages {
		switch message.Header.Type {
		case unix.RTM_DELLINK:
			if index, ok := moved(message); ok {
				m.tell(index)
			}
		case unix.RTM_NEWQDISC, unix.RTM_DELQDISC, unix.RTM_NEWTFILTER, unix.RTM_DELTFILTER:
			filters = true
		}
	}
	return filters
}

func (m *mover) tell(index int) {
	select {
	case m.moves <- index:
	default: // see movesMost
	}
}

// eventBuffer is the receive buffer of the event socket in bytes. From design
// measurements: it holds 5000 events with a stalled reader.
const eventBuffer = 4 << 20

// moved reports whether a message says that an interface went elsewhere.
func moved(m syscall.NetlinkMessage) (index int, ok bool) {
	if len(m.Data) < unix.SizeofIfInfomsg {
		return 0, false
	}
	attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofIfInfomsg:])
	if err != nil {
		return 0, false
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_NEW_NETNSID {
			return int(int32(binary.NativeEndian.Uint32(m.Data[4:8]))), true
		}
	}
	return 0, false
}
