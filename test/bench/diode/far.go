package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// farReport is what the far end says when it ends.
type farReport struct {
	linkReport
	Delivered []span  // batches
	Lost      []span  // batches named as missing
	Weight    uint64  // of what was delivered
	LostKnown uint64  // weight of what was lost, as far as it is known
	Unknown   int     // gaps of unknown weight
	BadSums   int     // batches whose running sum is not what came before
	Twice     int     // batches delivered again
	Times     []int64 // ns from acceptance to delivery, of batches of events
}

// span is a range of batches, both ends included.
type span struct{ First, Last uint64 }

// runFar is the far end as a process of its own: it writes to its standard output until the last batch has been
// delivered or named as missing, or it is told to stop.
func runFar(ctx context.Context, args []string) error {
	e, err := parseEnd(verbReceive, args)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", e.address)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return errors.New("no UDP socket")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &farSink{out: os.Stdout, timed: e.events > 0, until: e.batches(), done: cancel, next: 1, at: 1}
	return profiled(e.profile, func() error {
		r, err := receiveLink(ctx, udp, e.linkSettings, s)
		s.report.linkReport = r
		return errors.Join(err, writeReport(e.report, s.report))
	})
}

// farSink writes batches to where they stood in the payload. The link calls it from one goroutine.
type farSink struct {
	out    *os.File
	timed  bool // batches are events: their time is taken and nothing is written
	until  uint64
	done   func()
	next   uint64 // expected in order
	at     uint64 // batch at the position of out
	sum    uint64 // of the weights before it
	report farReport
}

func (s *farSink) batch(seq uint64, data []byte, sumBefore uint64, weight uint32, late bool) error {
	if s.timed {
		s.report.Times = append(s.report.Times, time.Now().UnixNano()-int64(binary.BigEndian.Uint64(data)))
	} else if err := s.write(seq, data); err != nil {
		return err
	}
	s.report.Weight += uint64(weight)
	if contains(s.report.Delivered, seq) {
		s.report.Twice++
	}
	s.report.Delivered = add(s.report.Delivered, seq, seq)
	if !late {
		if sumBefore != s.sum {
			s.report.BadSums++
		}
		s.moved(seq+1, sumBefore+uint64(weight))
	}
	return nil
}

// write keeps the position of the file at the end of what was delivered last: from there the progress is read.
func (s *farSink) write(seq uint64, data []byte) error {
	if seq != s.at {
		if _, err := s.out.Seek(int64(seq-1)*batchBytes, io.SeekStart); err != nil {
			return err
		}
	}
	s.at = seq + 1
	_, err := s.out.Write(data)
	return err
}

func (s *farSink) gap(first, last, weight uint64, known bool) {
	s.report.Lost = add(s.report.Lost, first, last)
	if known {
		s.report.LostKnown += weight
	} else {
		s.report.Unknown++
	}
	s.moved(last+1, s.sum+weight)
}

func (s *farSink) moved(next, sum uint64) {
	s.next, s.sum = next, sum
	if s.next > s.until {
		s.done()
	}
}

// add appends a range and joins it to the one before when they touch.
func add(list []span, first, last uint64) []span {
	if n := len(list); n > 0 && list[n-1].Last+1 == first {
		list[n-1].Last = last
		return list
	}
	return append(list, span{first, last})
}

func contains(list []span, seq uint64) bool {
	for _, x := range slices.Backward(list) {
		if x.First <= seq && seq <= x.Last {
			return true
		}
	}
	return false
}

func count(list []span) (n uint64) {
	for _, x := range list {
		n += x.Last - x.First + 1
	}
	return n
}
