package pluginhost

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/sdk"
)

// greeting is a plugin's standard output as go-plugin sees it: the first line, with which a plugin says how to reach
// it. All that follows is read and thrown away, so that a plugin never blocks on it and go-plugin never parses it.
type greeting struct {
	pipe *os.File

	mu   sync.Mutex // guards what follows
	line []byte     // what came of the first line
	done bool       // its newline has come
	eof  bool
}

// Read returns bytes of the first line, then nothing until the end. A first line that is too long is an error.
func (g *greeting) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if g.complete() {
		return 0, g.discard()
	}
	n, err := g.pipe.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.eof = true
		return 0, io.EOF
	}
	if end := bytes.IndexByte(p[:n], '\n'); end >= 0 {
		n, g.done = end+1, true
	}
	if len(g.line)+n > maxGreeting {
		return 0, fmt.Errorf("first line has more than %d bytes", maxGreeting)
	}
	g.line = append(g.line, p[:n]...)
	return n, nil
}

func (g *greeting) complete() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.done
}

// over tells whether the output ended before the first line did.
func (g *greeting) over() bool {
	if g == nil {
		return false // never started
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.eof && !g.done
}

func (g *greeting) discard() error {
	scratch := make([]byte, 4<<10)
	for {
		if _, err := g.pipe.Read(scratch); err != nil {
			return io.EOF
		}
	}
}

// Close ends a Read.
func (g *greeting) Close() error { return g.pipe.Close() }

// judge says what is wrong with the first line, or "" when go-plugin can read it.
func (g *greeting) judge() string {
	g.mu.Lock()
	line := strings.TrimSpace(string(g.line))
	g.mu.Unlock()
	if line == "" {
		return ""
	}
	parts := strings.Split(line, "|")
	if len(parts) < 5 {
		return fmt.Sprintf("it printed %s on standard output before it served: nothing may be printed there before sdk.Serve",
			excerpt(line))
	}
	if api, err := strconv.Atoi(parts[1]); err != nil || api != sdk.APIVersion {
		return fmt.Sprintf("it speaks contract version %s, this gateway version %d: install a build of the plugin for this gateway",
			excerpt(parts[1]), sdk.APIVersion)
	}
	return ""
}

// excerpt quotes the beginning of what a plugin printed.
func excerpt(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + " …"
	}
	return strconv.Quote(s)
}
