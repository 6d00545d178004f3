package syslogtime_test

import (
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/sluice-gateway/sluice/internal/syslogtime"
)

var received = time.Date(2026, time.November, 3, 12, 0, 0, 0, time.UTC)

func TestOf(t *testing.T) {
	none := time.Time{}
	at := func(y int, m time.Month, d, h, minute, s, ns int) time.Time {
		return time.Date(y, m, d, h, minute, s, ns, time.UTC)
	}
	for _, c := range []struct {
		name, in string
		want     time.Time
	}{
		{"RFC 5424", "<165>1 2026-10-11T22:14:15.003Z host app", at(2026, 10, 11, 22, 14, 15, 3e6)},
		{"RFC 5424 offset", "<165>1 2026-10-11T22:14:15.000003-07:00 host", at(2026, 10, 12, 5, 14, 15, 3e3)},
		{"RFC 5424 nil value", "<165>1 - host app", none},
		{"RFC 5424 ends behind the time", "<1>1 2026-10-11T22:14:15Z", at(2026, 10, 11, 22, 14, 15, 0)},
		{"nanoseconds", "<1>1 2026-10-11T22:14:15.123456789Z x", at(2026, 10, 11, 22, 14, 15, 123456789)},
		{"ten digits", "<1>1 2026-10-11T22:14:15.1234567890Z x", none},
		{"leap day", "<1>1 2028-02-29T00:00:00Z x", at(2028, 2, 29, 0, 0, 0, 0)},
		{"no leap day", "<1>1 2027-02-29T00:00:00Z x", none},
		{"leap second", "<1>1 2026-12-31T23:59:60Z x", none},
		{"lower case", "<1>1 2026-10-11t22:14:15z x", none},
		{"beyond nanoseconds", "<1>1 9999-10-11T22:14:15Z x", none},
		{"rsyslog forward format", "<13>2026-10-11T22:14:15+02:00 host app: x", at(2026, 10, 11, 20, 14, 15, 0)},
		{"RFC 3164", "<34>Oct 11 22:14:15 host su: x", at(2026, 10, 11, 22, 14, 15, 0)},
		{"RFC 3164 space", "<34>Nov  1 02:04:05 host su: x", at(2026, 11, 1, 2, 4, 5, 0)},
		{"RFC 3164 of last year", "<34>Jul  1 02:04:05 x", at(2026, 7, 1, 2, 4, 5, 0)},
		{"RFC 3164 of next year", "<34>Jan  1 00:00:01 x", at(2027, 1, 1, 0, 0, 1, 0)},
		{"RFC 3164 impossible day", "<34>Apr 31 00:00:01 x", none},
		{"not syslog", "hello", none},
		{"empty", "", none},
		{"no priority", "<>Oct 11 22:14:15 x", none},
		{"long priority", "<1234>Oct 11 22:14:15 x", none},
		{"cut", "<34>Oct 11 22:14", none},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := syslogtime.Of([]byte(c.in), received); !got.Equal(c.want) {
				t.Fatalf("%q: %s, want %s", c.in, got, c.want)
			}
		})
	}
}

// FuzzOf holds Of to the library: what that accepts, Of reads the same.
func FuzzOf(f *testing.F) {
	for _, s := range []string{
		"<165>1 2026-10-11T22:14:15.003Z host app 1 id - text", "<34>Oct 11 22:14:15 host su: text",
		"<165>1 2026-02-28T22:14:15.1+14:00 - - - - -", "<1>1 - - - - - -", "<34>Feb 29 22:14:15 host su: text", "<", "",
	} {
		f.Add([]byte(s))
	}
	new5424 := rfc5424.NewParser()
	old3164 := rfc3164.NewParser(rfc3164.WithYear(rfc3164.Year{YYYY: received.Year()}), rfc3164.WithTimezone(time.UTC))
	f.Fuzz(func(t *testing.T, in []byte) {
		got := syslogtime.Of(in, received)
		if !got.IsZero() && (got.Year() < 1969 || got.Year() > 2262) {
			t.Fatalf("%q: %s does not fit in nanoseconds", in, got)
		}
		if m, err := new5424.Parse(in); err == nil {
			s, ok := m.(*rfc5424.SyslogMessage)
			if ok && s.Timestamp != nil && s.Timestamp.Year() >= 1970 && s.Timestamp.Year() < 2261 && !got.Equal(*s.Timestamp) {
				t.Fatalf("%q: %s, the library reads %s", in, got, s.Timestamp)
			}
			return
		}
		if m, err := old3164.Parse(in); err == nil {
			s, ok := m.(*rfc3164.SyslogMessage)
			if ok && s.Timestamp != nil && !got.IsZero() && got.Format(time.Stamp) != s.Timestamp.Format(time.Stamp) {
				t.Fatalf("%q: %s, the library reads %s", in, got, s.Timestamp)
			}
		}
	})
}

func BenchmarkOf(b *testing.B) {
	for name, in := range map[string]string{
		"5424": "<165>1 2026-10-11T22:14:15.003Z host app 1 id - text", "3164": "<34>Oct 11 22:14:15 host su: text",
	} {
		b.Run(name, func(b *testing.B) {
			m := []byte(in)
			b.ReportAllocs()
			for b.Loop() {
				_ = syslogtime.Of(m, received)
			}
		})
	}
}
