package gateway

import (
	"slices"
	"testing"
)

func TestAlarmsOfWhatTheNearSideSaysOfItself(t *testing.T) {
	for health, want := range map[string][]string{
		``:                               nil,
		`not JSON`:                       nil,
		`{"later":1}`:                    nil,
		`{"guard":"ok","spool":"ok"}`:    nil,
		`{"spool":"full"}`:               {`near side: its spool is "full"`},
		`{"guard":"bare","spool":"ok"}`:  {`near side: its guard says "bare"`},
		`{"plugins":3,"running":2}`:      {`near side: 2 of 3 receivers run`},
		`{"spool":"a\nb","plugins":-1}`:  {`near side: its spool is "a\nb"`},
		`{"spool":7,"guard":["x"],"x":}`: nil,
	} {
		if got := nearAlarms([]byte(health)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", health, got, want)
		}
	}
}
