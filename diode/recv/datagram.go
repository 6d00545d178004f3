package recv

import (
	"github.com/sluice-gateway/sluice/diode/frame"
)

// datagram decides on one datagram, cheapest checks first.
func (r *Receiver) datagram(b []byte) {
	var h frame.Header
	if err := h.Parse(b); err != nil {
		r.stats.BadHeader++
		return
	}
	if h.LinkID != r.cfg.LinkID {
		r.stats.ForeignLink++
		return
	}
	if h.Kind == frame.KindAnnounce {
		r.announcement(&h, b, r.now)
		return
	}
	x := r.session(h.KeyID, h.Session)
	if x == nil {
		r.stats.UnknownSession++
		return
	}
	if !x.window.Fresh(h.Counter) {
		r.stats.Replayed++
		return
	}
	if h.Kind == frame.KindHeartbeat {
		r.openHeartbeat(x, &h, b)
		return
	}
	r.openShard(x, &h, b)
}

func (r *Receiver) openHeartbeat(x *session, h *frame.Header, b []byte) {
	plain, err := x.opener.Open(r.scratch[:0], h, b)
	if err != nil {
		r.stats.BadTag++
		return
	}
	r.authentic(x, h)
	r.heartbeat(x, h, plain)
}

func (r *Receiver) openShard(x *session, h *frame.Header, b []byte) {
	st := x.stream(h.Class)
	if st != nil && st.unwanted(h) {
		r.stats.Surplus++
		return
	}
	buf := r.pool.get(int(h.Shard))
	shard, err := x.opener.Open(buf, h, b)
	if err != nil {
		r.stats.BadTag++
		r.pool.put(buf)
		return
	}
	r.authentic(x, h)
	if st == nil {
		if st, err = r.addStream(x, h.Class); err != nil {
			r.stats.BadShape++
			r.pool.put(buf)
			return
		}
	}
	if !st.put(h, shard, r.live) {
		r.pool.put(buf)
	}
	r.boundShards()
}

// authentic notes that a frame was opened.
func (r *Receiver) authentic(x *session, h *frame.Header) {
	top := x.window.Top()
	x.window.Mark(h.Counter)
	if x.window.Top() > top || x.heardAt.IsZero() {
		x.heardAt = r.live
	}
	r.stats.Accepted++
	if !x.used {
		r.firstUse(x)
	}
}

// boundShards gives up the oldest blocks when shards take too much memory.
func (r *Receiver) boundShards() {
	for r.pool.inUse > r.shardLimit {
		var most *stream
		for _, s := range r.sessions {
			for _, st := range s.streams[:s.classes] {
				if st.count > 0 && (most == nil || st.count > most.count) {
					most = st
				}
			}
		}
		if most == nil {
			return
		}
		most.giveUp()
		most.advance()
	}
}

func (r *Receiver) expireBlocks() {
	for _, x := range r.sessions {
		for _, st := range x.streams[:x.classes] {
			st.expire(heard{top: x.window.Top(), at: x.heardAt, superseded: x.superseded}, r.live)
		}
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
