package recv_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// long is a batch that does not fit one shard.
func long(seq uint64) diode.Batch {
	b := batch(seq)
	b.Data = bytes.Repeat([]byte{byte(seq)}, shardBytes)
	return b
}

// wide makes a block of two data shards and one parity shard; the second data shard begins within the first batch.
func (n *near) wide(batches ...diode.Batch) [3][]byte {
	content := make([]byte, frame.BlockHeaderBytes, 2*shardBytes)
	frame.PutBlockHeader(content, frame.BlockHeaderBytes)
	starts := [2]uint16{frame.NoStart, frame.NoStart}
	for _, b := range batches {
		if i := len(content) / shardBytes; starts[i] == frame.NoStart {
			starts[i] = uint16(len(content) % shardBytes)
		}
		h := frame.BatchHeader{
			Length: uint32(len(b.Data)), Seq: b.Seq, SumBefore: b.SumBefore, Weight: b.Weight, Digest: frame.NewDigester().Digest(b.Data), Epoch: n.epoch.ID,
		}
		head := make([]byte, frame.BatchHeaderBytes)
		h.Put(head)
		content = append(append(content, head...), b.Data...)
	}
	content = content[:2*shardBytes]
	shards := [][]byte{content[:shardBytes], content[shardBytes:], make([]byte, shardBytes)}
	if err := n.codec.Encode(frame.CodeClassic, fec.Shape{Data: 2, Parity: 1, ShardBytes: shardBytes}, shards); err != nil {
		n.t.Fatal(err)
	}
	var out [3][]byte
	for i := range out {
		h := frame.Header{
			Kind: frame.KindShard, Block: n.block[0], Code: frame.CodeClassic, K: 2, M: 1, Shard: shardBytes, Index: uint8(i), Start: frame.NoStart,
		}
		if i < 2 {
			h.Start = starts[i]
		}
		out[i] = n.seal(h, shards[i])
	}
	n.block[0]++
	return out
}

// A sender that stands still in the middle of a block, for want of a processor or because its machine was suspended,
// goes on where it was: nothing of what arrives may be given up before.
func TestSenderThatStandsStillLosesNothing(t *testing.T) {
	for name, stall := range map[string]func(n *near){
		"shortly":                 func(*near) { after(600 * time.Millisecond) },
		"for a minute":            func(n *near) { after(time.Minute); n.beat() },
		"right after a heartbeat": func(n *near) { n.beat(); after(1500 * time.Millisecond); n.beat() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(x *far, n *near) {
				n.send(batch(1))
				block := n.wide(long(2))
				n.link.Inject(block[0])
				after(time.Millisecond)
				stall(n)
				n.link.Inject(block[1])
				n.send(batch(3))
				after(time.Millisecond)
				x.expect("1, 2, 3")
			})
		})
	}
}

// The same silence of a block from a sender that is heard is loss.
func TestBlockOfASenderThatIsHeardIsGivenUp(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.link.Inject(n.wide(long(2))[0])
		n.send(batch(3))
		n.alive(time.Second)
		x.expect("1, gap 2-2 weight 10 link, 3")
	})
}

// When nothing comes for ever, what has arrived is delivered in the end.
func TestBlockOfASilentSenderIsGivenUpInTheEnd(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.link.Inject(n.wide(long(2))[0])
		n.send(batch(3))
		after(5 * time.Minute)
		x.expect("1")
		after(10 * time.Minute)
		x.expect("1, gap 2-2 weight 10 link, 3")
	})
}

// What the heartbeat counts as sent is a hole only where it did not arrive.
func TestBatchBehindALostShardIsNoHole(t *testing.T) {
	inBubble(t, func(x *far, n *near) {
		n.send(batch(1))
		n.link.Inject(n.wide(long(2), batch(3))[1])
		sent := frame.Series{Sent: 3, SentSum: 30, Accepted: 3, AcceptedSum: 30}
		n.beat(sent)
		after(1200 * time.Millisecond)
		n.beat(sent)
		after(200 * time.Millisecond)
		x.expect("1, gap 2-2 weight 10 link, 3")
	})
}
