package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// Limits of what a plugin may ask for. All are ours.
const (
	answerPatience = time.Second // for a plugin to take an answer
	dialTimeout    = 10 * time.Second
	maxDials       = 16 // in progress at once
	maxSenders     = 64 // UDP sockets of DialPacket open at once
)

// listen answers a request to listen.
func (s *session) listen(id uint64, q *proto.Listen) {
	r, network := s.relay, q.GetNetwork()
	if network == "" || network != r.grants.Network || r.grants.Port == 0 {
		s.refuse(id, "listen "+clip(network), "the block has no port for it")
		return
	}
	if err := r.listen(network); err != nil {
		s.answer(id, failure(err), nil)
		return
	}
	if !s.answer(id, nil, nil) {
		return
	}
	if network == "tcp" {
		r.tcp.set(s)
		return
	}
	r.udp.set(s)
}

// dial answers a request to dial, in a goroutine of its own when it is allowed.
func (s *session) dial(id uint64, q *proto.Dial) {
	network, what := q.GetNetwork(), "dial "+clip(q.GetNetwork())+" "+clip(q.GetAddress())
	addr, err := netip.ParseAddrPort(q.GetAddress())
	if err != nil || (network != "tcp" && network != "udp") || !slices.Contains(s.relay.grants.Connect, addr) {
		s.refuse(id, what, "the block's connect does not list it")
		return
	}
	select {
	case s.dials <- struct{}{}:
	default:
		s.answer(id, &sdk.Error{Code: sdk.CodeUnavailable, Detail: "too many dials in progress", Retryable: true}, nil)
		return
	}
	if !s.task(func() {
		defer func() { <-s.dials }()
		if network == "tcp" {
			s.dialTCP(id, addr)
			return
		}
		s.dialUDP(id, addr)
	}) {
		<-s.dials
	}
}

func (s *session) dialTCP(id uint64, addr netip.AddrPort) {
	r := s.relay
	if reason := r.take(); reason != "" {
		r.refused.add(reason, 1, "dial", addr.String())
		s.answer(id, &sdk.Error{Code: sdk.CodeUnavailable, Detail: "limit of connections reached: " + reason, Retryable: true}, nil)
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	defer cancel()
	c, err := r.sockets.DialTCP(ctx, addr)
	if err != nil {
		r.give()
		s.answer(id, failure(err), nil)
		return
	}
	if fileNumber(c) >= r.maxFile {
		err = errors.New("limit of open files reached: raise LimitNOFILE")
		r.refused.add(RefusedFileLimit, 1, "dial", addr.String())
	} else {
		err = s.lend(id, c)
	}
	if err != nil {
		r.give()
		cut(c)
		s.answer(id, failure(err), nil)
	}
}

// lend gives the plugin its end of an outbound connection and starts the relay. On error c is the caller's.
func (s *session) lend(id uint64, c *net.TCPConn) error {
	ours, theirs, err := control.StreamPair()
	if err != nil {
		return err
	}
	defer theirs.Close() //nolint:errcheck // the plugin has its own
	p, err := newPipe(s.relay, c, ours)
	if err == nil && !s.answer(id, nil, theirs) {
		err = control.ErrBusy
	}
	if err == nil && !s.start(p) {
		err = ErrClosed
	}
	if err != nil {
		_ = ours.Close()
	}
	return err
}

func (s *session) dialUDP(id uint64, addr netip.AddrPort) {
	if s.senders.Add(1) > maxSenders {
		s.senders.Add(-1)
		s.answer(id, &sdk.Error{Code: sdk.CodeUnavailable, Detail: "too many datagram sockets open", Retryable: true}, nil)
		return
	}
	c, err := s.relay.sockets.DialUDP(s.ctx, addr)
	if err == nil {
		if err = s.lendSender(id, c); err == nil {
			return
		}
		_ = c.Close()
	}
	s.senders.Add(-1)
	s.answer(id, failure(err), nil)
}

// lendSender gives the plugin its end of a sender and starts it. On error c is the caller's.
func (s *session) lendSender(id uint64, c *net.UDPConn) error {
	ours, theirs, err := control.StreamPair()
	if err != nil {
		return err
	}
	defer theirs.Close() //nolint:errcheck // the plugin has its own
	snd, err := newSender(s.relay, ours, c)
	if err == nil && !s.answer(id, nil, theirs) {
		err = control.ErrBusy
	}
	if err == nil && !s.task(func() { defer s.senders.Add(-1); snd.run(s.ctx) }) {
		err = ErrClosed
	}
	if err != nil {
		_ = ours.Close()
	}
	return err
}

// refuse answers a request beyond the grants: it is counted and logged under what was asked for.
func (s *session) refuse(id uint64, what, why string) {
	s.relay.refused.add(what, 1, "why", why)
	s.answer(id, &sdk.Error{Code: sdk.CodeRefused, Detail: what + ": " + why}, nil)
}

// answer sends a result and tells whether the plugin has taken it. One that does not read its answers waits for ever.
func (s *session) answer(id uint64, e *sdk.Error, f *os.File) bool {
	r := &proto.Result{}
	if e != nil {
		r.Error = &proto.Error{Code: string(e.Code), Detail: clip(e.Detail), Retryable: e.Retryable}
	}
	err := s.control.Send(&proto.Control{Id: id, Kind: &proto.Control_Result{Result: r}}, f, answerPatience)
	if err != nil && s.ctx.Err() == nil {
		s.relay.refused.add(RefusedPluginBusy, 1, "error", err)
	}
	return err == nil
}

// failure finds the code for an error of a socket: what the guard does not allow will not be allowed a second later.
func failure(err error) *sdk.Error {
	if _, ok := errors.AsType[*guard.RefusedError](err); ok {
		return &sdk.Error{Code: sdk.CodeRefused, Detail: err.Error()}
	}
	return &sdk.Error{Code: sdk.CodeUnavailable, Detail: err.Error(), Retryable: true}
}

// clip bounds what a plugin wrote, for counters and logs.
func clip(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:most], len(s))
}
