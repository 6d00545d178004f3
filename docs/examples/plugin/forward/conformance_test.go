package forward_test

import (
	"bufio"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/docs/examples/plugin/forward"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

const address = "192.0.2.1:601"

func options() sdktest.Options {
	return sdktest.Options{Connect: map[string]sdktest.Target{address: {}}, Config: `{"retry":1000000}`}
}

func record(payload string) sdk.Record {
	return sdk.Record{Kind: sdk.KindOpaque, Received: time.Unix(1000, 0), Payload: []byte(payload)}
}

func TestTheTargetGetsLinesAgainAfterABreak(t *testing.T) {
	h := sdktest.NewSink(t, forward.New(), options())
	first := h.Deliver(t, record("one"), record("not\none line"), record("two"))
	c := h.Accept(t, address)
	in := bufio.NewReader(c)
	for _, want := range []string{"one\n", "two\n"} {
		if got, err := in.ReadString('\n'); err != nil || got != want {
			t.Fatalf("line %q, %v, want %q", got, err, want)
		}
	}
	h.WaitAck(t, first)
	if r := h.Rejections(); len(r) != 1 || r[0].Record != 1 || r[0].Number != first {
		t.Fatalf("rejections %+v", r)
	}
	_ = c.Close()
	second := h.Deliver(t, record("three"))
	if got, err := bufio.NewReader(h.Accept(t, address)).ReadString('\n'); err != nil || got != "three\n" {
		t.Fatalf("line %q, %v", got, err)
	}
	h.WaitAck(t, second)
	h.WaitHolding(t, false)
	if err := h.Finish(t); err != nil {
		t.Fatal(err)
	}
	h.Stop(t)
}

func TestConformance(t *testing.T) {
	o := options()
	o.Connect[address] = sdktest.Target{Discard: true}
	sdktest.Sink(t, func() sdk.Sink { return forward.New() }, sdktest.SinkSuite{
		Options: o,
		Record:  func(i int) sdk.Record { return record(fmt.Sprint("line ", i)) },
	})
}
