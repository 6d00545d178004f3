//go:build linux

package warden

import (
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	places := []string{"--socket", "/nowhere/s", "--state", "/proc/none"}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":              {[]string{"--help"}, 0, "-socket"},
		"help before users": {append([]string{"--uid", "nobody of that name", "--help"}, places...), 0, "-uid"},
		"nothing":           {nil, 2, errPlaces.Error()},
		"unknown user":      {append([]string{"--uid", "nobody of that name"}, places...), 2, "unknown user"},
		"unknown flag":      {append([]string{"--root"}, places...), 2, "not defined"},
		"no state":          {places, 1, "/proc/none"},
	} {
		var said strings.Builder
		if code := Main(t.Context(), c.args, &said); code != c.code || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: %d, %s", name, code, said.String())
		}
	}
}
