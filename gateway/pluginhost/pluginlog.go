package pluginhost

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// pluginLog takes in what one plugin prints and logs what passes the limits.
//
//	pipe ─► bytes per second ─► splitter: lines, length ─► lines per second ─► record ─► slog
//
// A plugin that prints more bytes than allowed waits; lines beyond the rate are dropped and counted in the log.
type pluginLog struct {
	log   *slog.Logger
	lines *rate.Limiter
	bytes *rate.Limiter

	mu      sync.Mutex // guards what follows
	dropped uint64     // since the last line that passed
	panic   string     // first line of a panic
	tail    []string   // the last lines, for errors about the start
}

// tailLines is how many lines an error quotes.
const tailLines = 4

func newPluginLog(log *slog.Logger) *pluginLog {
	return &pluginLog{
		log:   log,
		lines: rate.NewLimiter(linesPerSecond, linesBurst),
		bytes: rate.NewLimiter(logBytes, logBytesBurst),
	}
}

// run reads until the pipe ends. When ctx ends it no longer holds back the rest.
func (l *pluginLog) run(ctx context.Context, r io.Reader) {
	s := l.splitter()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			_ = l.bytes.WaitN(ctx, n) // fails only when ctx ends
			_, _ = s.Write(buf[:n])
		}
		if err != nil {
			s.flush()
			l.reportDropped()
			return
		}
	}
}

func (l *pluginLog) splitter() *splitter { return &splitter{log: l} }

// splitter joins what arrives in pieces into lines. It holds at most one line of maxLine bytes.
type splitter struct {
	log  *pluginLog
	line []byte
	cut  int // bytes of the line beyond maxLine
}

// Write never fails.
func (s *splitter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := cutLine(p)
		s.add(line)
		if whole {
			s.flush()
		}
		p = rest
	}
	return n, nil
}

func cutLine(p []byte) (line, rest []byte, whole bool) {
	for i, c := range p {
		if c == '\n' {
			return p[:i], p[i+1:], true
		}
	}
	return p, nil, false
}

func (s *splitter) add(part []byte) {
	room := min(maxLine-len(s.line), len(part))
	s.line = append(s.line, part[:room]...)
	s.cut += len(part) - room
}

func (s *splitter) flush() {
	if len(s.line) > 0 {
		s.log.take(string(s.line), s.cut)
	}
	s.line, s.cut = s.line[:0], 0
}

// take logs one line if the rate allows it.
func (l *pluginLog) take(line string, cut int) {
	line = strings.TrimRight(line, "\r")
	l.remember(line)
	if !l.lines.Allow() {
		l.mu.Lock()
		l.dropped++
		l.mu.Unlock()
		return
	}
	l.reportDropped()
	if cut > 0 {
		line = fmt.Sprintf("%s … (%d bytes more)", line, cut)
	}
	level, text, attrs := parseLine(line)
	l.log.LogAttrs(context.Background(), level, text, attrs...)
}

// remember keeps the beginning of a panic, also when the rate is exceeded, and the last lines.
func (l *pluginLog) remember(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panic == "" && (strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")) {
		l.panic = line[:min(len(line), 512)]
	}
	if len(l.tail) == tailLines {
		l.tail = append(l.tail[:0], l.tail[1:]...)
	}
	l.tail = append(l.tail, line[:min(len(line), 256)])
}

func (l *pluginLog) reportDropped() {
	l.mu.Lock()
	n := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if n > 0 {
		l.log.Warn("plugin logs too fast: lines dropped", "lines", n, "limit_per_second", linesPerSecond)
	}
}

func (l *pluginLog) panicLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.panic
}

// lastLines returns the panic or else the end of the output.
func (l *pluginLog) lastLines() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panic != "" {
		return l.panic
	}
	return strings.Join(l.tail, "\n")
}
