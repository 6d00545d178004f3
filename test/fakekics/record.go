package fakekics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"time"
)

// A record of the file, numbers big endian:
//
//	bytes  0..3   length of the datagram
//	       4..11  time of receipt, nanoseconds since 1970
//	      12..27  source address, IPv4 mapped into IPv6
//	      28..29  source port
//	      30..    the datagram
const headBytes = 30

// ErrRecord says that a file of records is damaged or cut.
var ErrRecord = errors.New("fakekics: bad record")

// Write appends one datagram to w.
func Write(w io.Writer, d Datagram) error {
	if len(d.Data) > datagramMost {
		return fmt.Errorf("fakekics: datagram of %d bytes: %w", len(d.Data), ErrRecord)
	}
	rec := make([]byte, headBytes, headBytes+len(d.Data))
	binary.BigEndian.PutUint32(rec, uint32(len(d.Data)))
	binary.BigEndian.PutUint64(rec[4:], uint64(d.Time.UnixNano()))
	addr := d.Source.Addr().As16()
	copy(rec[12:], addr[:])
	binary.BigEndian.PutUint16(rec[28:], d.Source.Port())
	_, err := w.Write(append(rec, d.Data...))
	return err
}

// Read yields the datagrams of r in the order of receipt. A damaged or cut
// record yields an error once and ends it.
func Read(r io.Reader) iter.Seq2[Datagram, error] {
	return func(yield func(Datagram, error) bool) {
		for n := 0; ; n++ {
			d, err := readOne(r)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Datagram{}, fmt.Errorf("fakekics: record %d: %w", n, err))
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

func readOne(r io.Reader) (Datagram, error) {
	head := make([]byte, headBytes)
	if _, err := io.ReadFull(r, head); err != nil {
		return Datagram{}, cut(err)
	}
	length := binary.BigEndian.Uint32(head)
	if length > datagramMost {
		return Datagram{}, ErrRecord
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(r, data); err != nil {
		return Datagram{}, fmt.Errorf("%w: cut after %d bytes", ErrRecord, headBytes)
	}
	return Datagram{
		Time:   time.Unix(0, int64(binary.BigEndian.Uint64(head[4:]))),
		Source: netip.AddrPortFrom(netip.AddrFrom16([16]byte(head[12:28])).Unmap(), binary.BigEndian.Uint16(head[28:])),
		Data:   data,
	}, nil
}

// cut tells the end of a file from a record that is cut within its head.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut in the head", ErrRecord)
	}
	return err
}
