package lines_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/sluice-gateway/sluice/docs/examples/plugin/lines"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestAnswersAfterTheAcknowledgement(t *testing.T) {
	h := sdktest.NewReceiver(t, lines.New(), sdktest.Options{Config: `{"greeting":"hi"}`})
	c := h.Dial(t, netip.MustParseAddrPort("192.0.2.7:4711"))
	in := bufio.NewReader(c)
	if got, err := in.ReadString('\n'); err != nil || got != "hi\n" {
		t.Fatalf("greeting %q, %v", got, err)
	}
	if _, err := c.Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	recs := h.Records(t, 2)
	if string(recs[1].Payload) != "two" || recs[1].Connection.Remote.Port() != 4711 {
		t.Fatalf("record %+v", recs[1])
	}
	for range 2 {
		if got, err := in.ReadString('\n'); err != nil || got != "ok\n" {
			t.Fatalf("answer %q, %v", got, err)
		}
	}
	if err := h.Drain(t); err != nil {
		t.Fatal(err)
	}
	h.Stop(t)
}

func TestConformance(t *testing.T) {
	sdktest.Receiver(t, func() sdk.Receiver { return lines.New() }, sdktest.ReceiverSuite{
		Message: func(i int) []byte { return fmt.Appendf(nil, "line %d, %0200d\n", i, i) },
		Payload: func(i int) []byte { return fmt.Appendf(nil, "line %d, %0200d", i, i) },
		Client: func(t testing.TB, c net.Conn) net.Conn {
			t.Helper()
			greeting := make([]byte, 1) // the empty greeting's line break
			if _, err := io.ReadFull(c, greeting); err != nil {
				t.Fatal(err)
			}
			return c
		},
		Answer: func(in *bufio.Reader) error {
			got, err := in.ReadString('\n')
			if err == nil && got != "ok\n" {
				err = fmt.Errorf("answer %q", got)
			}
			return err
		},
	})
}
