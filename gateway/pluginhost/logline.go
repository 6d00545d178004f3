package pluginhost

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// parseLine reads one line of a plugin's log. A JSON object yields level, message and attributes, which are gathered
// in the group "fields" so that a plugin cannot pass them off as the core's own; anything else is a message.
func parseLine(line string) (slog.Level, string, []slog.Attr) {
	if !strings.HasPrefix(line, "{") {
		return plainLevel(line), line, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return slog.LevelInfo, line, nil
	}
	level := levelOf(text(first(fields, "level", "@level")))
	message := text(first(fields, "message", "msg", "@message"))
	for _, k := range []string{"level", "@level", "message", "msg", "@message", "time", "@timestamp", "component"} {
		delete(fields, k)
	}
	attrs := make([]any, 0, min(len(fields), maxAttributes))
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if len(attrs) == maxAttributes {
			break
		}
		attrs = append(attrs, slog.String(k, text(fields[k])))
	}
	if len(attrs) == 0 {
		return level, message, nil
	}
	return level, message, []slog.Attr{slog.Group("fields", attrs...)}
}

func plainLevel(line string) slog.Level {
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		return slog.LevelError
	}
	return slog.LevelInfo
}

func first(fields map[string]json.RawMessage, keys ...string) json.RawMessage {
	for _, k := range keys {
		if v, ok := fields[k]; ok {
			return v
		}
	}
	return nil
}

// text is a JSON string's content, and any other value as it stands.
func text(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

func levelOf(s string) slog.Level {
	switch strings.ToLower(s) {
	case "trace", "debug":
		return slog.LevelDebug
	case "warn", "warning":
		return slog.LevelWarn
	case "error", "fatal", "panic":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
