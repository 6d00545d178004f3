package privilege

import (
	"errors"
	"testing"
)

const statusText = "Name:\tsluice\nCapInh:\t0000000000000000\nCapPrm:\t0000008000003000\nCapEff:\t0000008000001000\nCapBnd:\t0000008000003000\nCapAmb:\t0000000000000000\n"

func TestParse(t *testing.T) {
	s, err := parse([]byte(statusText))
	want := Sets{Permitted: SetOf(BPF, NetAdmin, NetRaw), Effective: SetOf(BPF, NetAdmin), Bounding: SetOf(BPF, NetAdmin, NetRaw)}
	if err != nil || s != want {
		t.Errorf("have %s, %v", s, err)
	}
	if _, err := parse([]byte("Name:\tsluice\n")); !errors.Is(err, errNoSets) {
		t.Errorf("without sets: %v", err)
	}
	if _, err := parse([]byte("CapInh:\tnothing\n")); err == nil {
		t.Error("a word is no set")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(statusText))
	f.Add([]byte("CapPrm:\t-1\nCapEff:"))
	f.Fuzz(func(t *testing.T, status []byte) {
		if s, err := parse(status); err != nil && s != (Sets{}) {
			t.Errorf("%v with %s", err, s)
		}
	})
}
