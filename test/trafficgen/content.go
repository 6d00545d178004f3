package trafficgen

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"
)

// idBytes is how much of a datagram its number takes: 4 bytes of the seed,
// 4 bytes of the number. Shorter datagrams are numbered per size.
const idBytes = 8

// Datagrams yields count datagrams of random sizes from least to most bytes
// (1 ≤ least ≤ most). No two are equal; from idBytes on neither are those of
// different seeds. The slice is the caller's until the next one.
func Datagrams(seed uint32, count, least, most int) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 1))
		short := map[int]uint64{}
		buf := make([]byte, max(most, idBytes))
		for i := range count {
			d := buf[:size(rnd, short, least, most)]
			fill(rnd, d)
			number(d, seed, i, short)
			if !yield(i, d) {
				return
			}
		}
	}
}

// size picks a size, and another when all datagrams of that size are used up.
func size(rnd *rand.Rand, short map[int]uint64, least, most int) int {
	n := least + rnd.IntN(most-least+1)
	for n < idBytes && short[n] >= 1<<(8*n) {
		n++
	}
	return n
}

func fill(rnd *rand.Rand, d []byte) {
	for len(d) >= 8 {
		binary.LittleEndian.PutUint64(d, rnd.Uint64())
		d = d[8:]
	}
	for i := range d {
		d[i] = byte(rnd.Uint32())
	}
}

func number(d []byte, seed uint32, i int, short map[int]uint64) {
	if len(d) >= idBytes {
		binary.BigEndian.PutUint32(d, seed)
		binary.BigEndian.PutUint32(d[4:], uint32(i))
		return
	}
	n := short[len(d)]
	short[len(d)]++
	for j := range d {
		d[j] = byte(n >> (8 * j))
	}
}

// Messages yields count distinct syslog messages (RFC 5424 section 6) without
// framing, from 80 to about 480 bytes of ASCII. The slice is the caller's
// until the next one.
func Messages(seed uint32, count int) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 2))
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		buf := make([]byte, 0, 1024)
		for i := range count {
			buf = buf[:0]
			stamp := start.Add(time.Duration(i) * time.Millisecond).Format("2006-01-02T15:04:05.000000Z")
			buf = fmt.Appendf(buf, "<%d>1 %s plc-%d trafficgen %d MSG%d - n=%d text=", 8*16+i%8, stamp, seed, seed, i, i)
			for range rnd.IntN(400) {
				buf = append(buf, byte('!'+rnd.IntN('~'-'!'+1)))
			}
			if !yield(i, buf) {
				return
			}
		}
	}
}

// Framing is how syslog messages follow one another on a stream.
type Framing string

// Framings of RFC 6587: octet counting (section 3.4.1) and a line feed at the
// end (section 3.4.2).
const (
	OctetCounted Framing = "octet"
	LineFeed     Framing = "lf"
)

// Frame appends one message in its frame to dst.
func (f Framing) Frame(dst, msg []byte) []byte {
	if f == LineFeed {
		return append(append(dst, msg...), '\n')
	}
	dst = strconv.AppendInt(dst, int64(len(msg)), 10)
	return append(append(dst, ' '), msg...)
}
