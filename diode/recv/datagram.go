package recv

import (
	"github.com/sluice-gateway/sluice/diode/frame"
)

// datagram decides on one datagram, cheapest checks first.
func (p *path) datagram(b []byte) {
	var h frame.Header
	if err := h.Parse(b); err != nil {
		p.frames.BadHeader++
		return
	}
	if h.LinkID != p.cfg.LinkID {
		p.frames.ForeignLink++
		return
	}
	if h.Kind == frame.KindAnnounce {
		p.announcement(&h, b)
		return
	}
	x := p.session(h.KeyID, h.Session)
	if x == nil {
		p.frames.UnknownSession++
		return
	}
	if !x.window.Fresh(h.Counter) {
		p.frames.Replayed++
		return
	}
	if h.Kind == frame.KindShard {
		p.openShard(x, &h, b)
		return
	}
	p.openOther(x, &h, b)
}

// openOther opens a heartbeat or a test frame.
func (p *path) openOther(x *session, h *frame.Header, b []byte) {
	plain, err := x.opener.Open(p.scratch[:0], h, b)
	if err != nil {
		p.frames.BadTag++
		return
	}
	if !p.authentic(x, h) {
		return
	}
	if h.Kind == frame.KindTest {
		p.testFrame(x, plain)
		return
	}
	p.heartbeat(x, h, plain)
}

func (p *path) openShard(x *session, h *frame.Header, b []byte) {
	st := x.stream(h.Class)
	if st != nil && st.unwanted(h) {
		p.frames.Surplus++
		return
	}
	buf := p.pool.get(int(h.Shard))
	shard, err := x.opener.Open(buf, h, b)
	if err != nil {
		p.frames.BadTag++
		p.pool.put(buf)
		return
	}
	if !p.authentic(x, h) {
		p.pool.put(buf)
		return
	}
	if st == nil {
		if st, err = p.addStream(x, h.Class); err != nil {
			p.frames.BadShape++
			p.pool.put(buf)
			return
		}
	}
	if !st.put(h, shard, p.live) {
		p.pool.put(buf)
	}
	p.boundShards()
}

// authentic notes that a frame was opened. It returns false when the session
// cannot be used yet.
func (p *path) authentic(x *session, h *frame.Header) bool {
	if x.order == 0 && !p.firstUse(x) {
		return false
	}
	top := x.window.Top()
	x.window.Mark(h.Counter)
	if x.window.Top() > top || x.heardAt.IsZero() {
		x.heardAt = p.live
	}
	p.frames.Accepted++
	return true
}

// boundShards gives up the oldest blocks when shards take too much memory.
func (r *Receiver) boundShards() {
	for r.pool.inUse > r.shardLimit {
		most := r.fullest()
		if most == nil {
			return
		}
		most.giveUp()
		most.advance()
	}
}

// fullest is the stream with the most blocks under way, or nil.
func (r *Receiver) fullest() (most *stream) {
	for st := range r.streams {
		if st.count > 0 && (most == nil || st.count > most.count) {
			most = st
		}
	}
	return most
}

// streams yields those of all sessions of all paths.
func (r *Receiver) streams(yield func(*stream) bool) {
	for _, p := range r.paths {
		for _, x := range p.sessions {
			for _, st := range x.streams[:x.classes] {
				if !yield(st) {
					return
				}
			}
		}
	}
}

func (r *Receiver) expireBlocks() {
	for st := range r.streams {
		x := st.session
		if x.waits(r.live) {
			continue
		}
		st.advance()
		st.expire(heard{top: x.window.Top(), at: x.heardAt, superseded: x.superseded}, r.live)
	}
}

func (r *Receiver) takeBlock() *block {
	n := len(r.free)
	if n == 0 {
		return &block{}
	}
	b := r.free[n-1]
	r.free = r.free[:n-1]
	return b
}

func (r *Receiver) giveBlock(b *block) {
	b.release(&r.pool)
	if len(r.free) < maxFree {
		r.free = append(r.free, b)
	}
}
