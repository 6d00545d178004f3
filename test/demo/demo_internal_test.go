package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDemo runs the demo with a shorter cut, as a newcomer does, with programs built from this tree.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs two nodes for about ten seconds")
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "./cmd/...")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var out bytes.Buffer
	err := show(t.Context(), &out, bin, 2*time.Second)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"dmz$ sluice diode gaps plant-to-dmz", "plant$ sluice diode resend plant-to-dmz ", "missing           0", "plant-to-dmz: nothing is missing"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not show %q", want)
		}
	}
}

func TestCount(t *testing.T) {
	line := func(n int) string { return fmt.Sprintf("{\"payload\":\"<14>1 ok, message %d\"}\n", n) }
	for _, c := range []struct {
		name, records string
		want          tally
		wrong         bool
	}{
		{name: "nothing", want: tally{missing: 3}},
		{name: "all", records: line(0) + line(1) + line(2), want: tally{arrived: 3}},
		{name: "late", records: line(2) + line(1) + line(0), want: tally{arrived: 3}},
		{name: "one missing", records: line(0) + line(2), want: tally{arrived: 2, missing: 1}},
		{name: "one twice", records: line(0) + line(1) + line(1) + line(2), want: tally{arrived: 3, twice: 1}},
		{name: "being written", records: line(0) + line(1) + `{"payload":"mess`, want: tally{arrived: 2, missing: 1}},
		{name: "never sent", records: line(3), wrong: true},
		{name: "another", records: `{"payload":"hello"}` + "\n", wrong: true},
		{name: "no record", records: "hello\n", wrong: true},
	} {
		got, err := count([]byte(c.records), 3)
		if (err != nil) != c.wrong || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}
