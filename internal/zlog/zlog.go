package zlog

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/rs/zerolog"
)

// Formats of New.
const (
	JSON = "json" // one object per line
	Text = "text" // for people
)

// New returns a logger that writes records of at least level ("debug", "info", "warn", "error") to w.
func New(w io.Writer, format, level string) (*slog.Logger, error) {
	lvl, err := zerolog.ParseLevel(level)
	if err != nil || level == "" {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	switch format {
	case JSON:
	case Text:
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)}
	default:
		return nil, fmt.Errorf("log format %q: want %s or %s", format, JSON, Text)
	}
	z := zerolog.New(zerolog.SyncWriter(w)).Level(lvl).With().Timestamp().Logger()
	return slog.New(zerolog.NewSlogHandler(z)), nil
}
