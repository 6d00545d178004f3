package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// linger is how long events are gathered into a batch, as a node does before its spool.
const linger = 5 * time.Millisecond

// eventBytes is the size of an event, as in the other benchmarks.
const eventBytes = 280

// endFlags are the flags of both ends of the link.
type endFlags struct {
	linkSettings
	address string // host:port
	size    int64  // bytes of payload; 0: events, or nothing
	events  int    // per second
	span    time.Duration
	report  string
	profile string
}

func parseEnd(name string, args []string) (endFlags, error) {
	var e endFlags
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.StringVar(&e.address, "address", "", "host:port to send to or to listen on")
	f.Int64Var(&e.size, "size", 0, "bytes of payload, in batches; 0: events, or nothing")
	f.IntVar(&e.events, "events", 0, "events per second; 0 without a size: the link stays idle")
	f.DurationVar(&e.span, "for", 0, "how long events come")
	f.Uint64Var(&e.Rate, "rate", 0, "bits per second on the wire")
	f.IntVar(&e.MTU, "mtu", 1500, "bytes")
	f.Float64Var(&e.Parity, "parity", 0, "least parity as a share of data")
	f.Float64Var(&e.DesignLoss, "design-loss", 0, "share of frames that blocks survive")
	f.IntVar(&e.Interleave, "interleave", 1, "blocks")
	f.StringVar(&e.StateDir, "state", "", "directory for the session floor")
	f.StringVar(&e.report, "report", "", "file for what this end counted")
	f.StringVar(&e.profile, "profile", "", "file for a CPU profile")
	return e, f.Parse(args)
}

// batches is how many batches will come.
func (e endFlags) batches() uint64 {
	switch {
	case e.size > 0:
		return uint64((e.size + batchBytes - 1) / batchBytes)
	case e.events == 0:
		return math.MaxUint64 // none ever comes
	}
	return uint64(e.span / e.interval())
}

// interval is the time between two batches of events.
func (e endFlags) interval() time.Duration { return max(linger, time.Second/time.Duration(e.events)) }

// perBatch is the number of bytes in a batch of events.
func (e endFlags) perBatch() int {
	return int(float64(e.events)*e.interval().Seconds()+0.5) * eventBytes
}

// runNear is the near end as a process of its own: it sends its standard input, or events, until it is told to stop.
func runNear(ctx context.Context, args []string) error {
	e, err := parseEnd(verbSend, args)
	if err != nil {
		return err
	}
	d := net.Dialer{}
	conn, err := d.DialContext(ctx, "udp", e.address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return fmt.Errorf("%T is no UDP socket", conn)
	}
	var from batchSource = &fileSource{file: os.Stdin, size: e.size}
	if e.events > 0 {
		from = &eventSource{end: e}
	}
	return profiled(e.profile, func() error {
		r, err := sendLink(ctx, udp, e.linkSettings, from)
		return errors.Join(err, writeReport(e.report, r))
	})
}

// profiled runs f with a CPU profile to path, when one is given.
func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close())
}

func writeReport(path string, r any) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// fileSource cuts a file into batches.
type fileSource struct {
	file *os.File
	size int64
}

func (s *fileSource) last() uint64 { return uint64((s.size + batchBytes - 1) / batchBytes) }

func (s *fileSource) before(seq uint64) uint64 {
	return min((seq-1)*batchBytes, uint64(s.size))
}

func (s *fileSource) next(ctx context.Context, seq uint64, buf []byte) ([]byte, error) {
	if seq > s.last() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.again(seq, buf)
}

func (s *fileSource) again(seq uint64, buf []byte) ([]byte, error) {
	off := int64(seq-1) * batchBytes
	buf = buf[:min(batchBytes, s.size-off)]
	return buf, readAt(s.file, buf, off)
}

// eventSource makes a batch of events every interval and stamps it with the time at which it was accepted.
type eventSource struct {
	end   endFlags
	start time.Time
	given atomic.Uint64
}

func (s *eventSource) last() uint64             { return s.given.Load() }
func (s *eventSource) before(seq uint64) uint64 { return (seq - 1) * uint64(s.end.perBatch()) }

func (s *eventSource) again(uint64, []byte) ([]byte, error) { return nil, errNotRetained }

func (s *eventSource) next(ctx context.Context, seq uint64, buf []byte) ([]byte, error) {
	if seq > s.end.batches() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.start.IsZero() {
		s.start = time.Now().Add(settleTime)
	}
	t := time.NewTimer(time.Until(s.start.Add(time.Duration(seq) * s.end.interval())))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	buf = buf[:s.end.perBatch()]
	binary.BigEndian.PutUint64(buf, uint64(time.Now().UnixNano()))
	s.given.Store(seq)
	return buf, nil
}

// settleTime lets the link announce itself before the first event: a start is not what is measured.
const settleTime = 500 * time.Millisecond
