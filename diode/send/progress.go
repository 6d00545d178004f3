package send

import "github.com/sluice-gateway/sluice/diode"

// progress follows how far all frames of a class have been accepted by the
// kernel.
type progress struct {
	marks   fifo[mark]
	started bool
	sent    uint64 // every copy of everything up to here has left; goes back after an error
	sum     uint64 // running sum after it
}

// mark says that everything up to a batch has left once all blocks below end
// have. A batch that needs no block has end 0.
type mark struct {
	end, seq, sum uint64
}

// start takes what the first batch says of those before it: this or an earlier
// process has told the source that they were sent.
func (p *progress) start(b diode.Batch) {
	if p.started {
		return
	}
	p.started, p.sent, p.sum = true, b.Seq-1, b.SumBefore
}

func (p *progress) add(m mark) { p.marks.push(m) }

// goBack takes back that a batch and those behind it have left: they leave once
// more. before is the running sum before the batch.
func (p *progress) goBack(seq, before uint64) {
	if p.started && seq <= p.sent {
		p.sent, p.sum = seq-1, before
	}
}

// settle moves on over the batches whose blocks are all below unfinished, and
// says whether something moved.
func (p *progress) settle(unfinished uint64) bool {
	moved := false
	for p.marks.len() > 0 && p.marks.front().end <= unfinished {
		m := p.marks.pop()
		if m.seq <= p.sent {
			continue
		}
		p.sent, p.sum, moved = m.seq, m.sum, true
	}
	return moved
}
