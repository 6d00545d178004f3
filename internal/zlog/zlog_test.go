package zlog_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/internal/zlog"
)

func TestJSONLineCarriesMessageLevelAndAttributes(t *testing.T) {
	var out bytes.Buffer
	log, err := zlog.New(&out, zlog.JSON, "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not shown")
	log.With("node", "plant").Warn("sink holds", "sink", "kics.node-a")
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	for key, want := range map[string]string{"level": "warn", "message": "sink holds", "node": "plant", "sink": "kics.node-a"} {
		if got[key] != want {
			t.Errorf("%s = %v, want %q", key, got[key], want)
		}
	}
}

func TestTextIsPlainWhenNotOnATerminal(t *testing.T) {
	var out bytes.Buffer
	log, err := zlog.New(&out, zlog.Text, "debug")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("ready")
	if s := out.String(); !strings.Contains(s, "ready") || strings.Contains(s, "\x1b[") {
		t.Fatalf("%q", s)
	}
}

func TestWrongWordsAreExplained(t *testing.T) {
	for _, c := range []struct{ format, level, want string }{
		{"xml", "info", `log format "xml"`},
		{zlog.JSON, "loud", `log level "loud"`},
		{zlog.JSON, "", `log level ""`},
	} {
		if _, err := zlog.New(&bytes.Buffer{}, c.format, c.level); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%q, %q) = %v, want %q", c.format, c.level, err, c.want)
		}
	}
}
