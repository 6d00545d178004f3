package warden

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

func framed(t testing.TB, m message) []byte {
	t.Helper()
	frame, err := m.frame()
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestMessageTravels(t *testing.T) {
	refused := &guard.RefusedError{Interface: "mon0", Role: guard.Monitoring, Reason: "declared", Remedy: "none"}
	m := message{ID: 7, Verb: verbPacket, Body: []byte(`{"index":3}`), Err: travelling(refused)}
	got, err := readMessage(bytes.NewReader(framed(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, m) {
		t.Errorf("have %+v", got)
	}
	if back, ok := errors.AsType[*guard.RefusedError](error(got.Err)); !ok || *back != *refused {
		t.Errorf("the type of the error is lost: %v", got.Err)
	}
}

func TestRefusalsKeepTheirTypes(t *testing.T) {
	weaker := &WeakerError{What: []string{"nothing would stand before mon0 any more"}, Node: "gw"}
	root := &RootError{Verb: verbReset, UID: 998}
	for _, sent := range []error{weaker, root} {
		got, err := readMessage(bytes.NewReader(framed(t, message{ID: 7, Verb: verbOrder, Err: travelling(fmt.Errorf("x: %w", sent))})))
		if err != nil {
			t.Fatal(err)
		}
		if got.Err.Error() != "x: "+sent.Error() || !reflect.DeepEqual(got.Err.Unwrap(), sent) {
			t.Errorf("%v came back as %v", sent, got.Err)
		}
	}
}

func TestMessageRefused(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string
		want  error
	}{
		"end":           {"", io.EOF},
		"cut in length": {"\x00\x00", io.ErrUnexpectedEOF},
		"empty":         {"\x00\x00\x00\x00", errMessage},
		"too long":      {"\x00\x10\x00\x01{}", errMessage},
		"huge":          {"\xff\xff\xff\xff{}", errMessage},
		"cut":           {"\x00\x00\x00\x08{}", errMessage},
		"no JSON":       {"\x00\x00\x00\x02{{", errMessage},
		"a number":      {"\x00\x00\x00\x0212", errMessage},
	} {
		if _, err := readMessage(strings.NewReader(c.bytes)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (message{Body: []byte(`"` + strings.Repeat("x", messageMost) + `"`)}).frame(); err == nil {
		t.Error("a message beyond the bound was made")
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(framed(f, message{ID: 1, Verb: verbOrder, Body: []byte(`{"Node":"a"}`)}))
	f.Add([]byte("\x00\x00\x00\x02{}\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x10\x00\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		for {
			m, err := readMessage(r)
			if err != nil {
				return
			}
			again, err := readMessage(bytes.NewReader(framed(t, m)))
			if err != nil || !reflect.DeepEqual(again.Verb, m.Verb) || again.ID != m.ID {
				t.Fatalf("%+v came back as %+v, %v", m, again, err)
			}
		}
	})
}

func FuzzArgument(f *testing.F) {
	f.Add([]byte(`{"Node":"a","Monitoring":["eth1"],"DiodeTX":[],"SendEnds":[{"Interface":"a","MAC":"AgAAAAAB"}]}`))
	f.Add([]byte(`{"who":"a","reason":"b"}`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _ = argument[guard.Policy](call{verb: verbOrder, body: body})
		_, _ = argument[revision](call{verb: verbRevise, body: body})
		_, _ = argument[By](call{verb: verbReset, body: body})
		_, _ = argument[guard.PacketQuery](call{verb: verbPacket, body: body})
	})
}
