package syslogtime

import "time"

// The years that a time in Unix nanoseconds can hold (ours: nothing logs before Unix did).
const (
	firstYear = 1970
	lastYear  = 2261
)

// Of returns the time of a syslog message. A time without a year is taken as the one nearest to received, a time
// without a zone as UTC. The zero time means that the message has none that can be read.
func Of(message []byte, received time.Time) time.Time {
	b, ok := afterPriority(message)
	if !ok {
		return time.Time{}
	}
	if rest, ok := afterVersion(b); ok {
		t, _ := rfc3339(rest)
		return t
	}
	if t, ok := rfc3339(b); ok {
		return t
	}
	return rfc3164(b, received)
}

// afterPriority skips "<PRI>", one to three digits (RFC 5424, section 6.2.1).
func afterPriority(b []byte) ([]byte, bool) {
	if len(b) == 0 || b[0] != '<' {
		return nil, false
	}
	for i := 1; i < len(b) && i <= 4; i++ {
		if b[i] == '>' {
			return b[i+1:], i > 1
		}
		if !digit(b[i]) {
			return nil, false
		}
	}
	return nil, false
}

// afterVersion skips "VERSION SP", one to three digits (RFC 5424, section 6.2.2).
func afterVersion(b []byte) ([]byte, bool) {
	for i := 0; i < len(b) && i <= 3; i++ {
		if b[i] == ' ' {
			return b[i+1:], i > 0
		}
		if !digit(b[i]) {
			return nil, false
		}
	}
	return nil, false
}

// rfc3339 reads "2026-10-11T22:14:15[.fraction](Z|±hh:mm)" followed by a space or the end.
func rfc3339(b []byte) (time.Time, bool) {
	if len(b) < len("2026-10-11T22:14:15Z") || b[4] != '-' || b[7] != '-' || b[10] != 'T' {
		return time.Time{}, false
	}
	year, ok1 := number(b[:4])
	month, ok2 := number(b[5:7])
	day, ok3 := number(b[8:10])
	if !ok1 || !ok2 || !ok3 || year < firstYear || year > lastYear || month < 1 || month > 12 {
		return time.Time{}, false
	}
	if day < 1 || day > days(year, time.Month(month)) {
		return time.Time{}, false
	}
	clock, ok := clockOf(b[11:19])
	if !ok {
		return time.Time{}, false
	}
	nanos, rest, ok := fraction(b[19:])
	if !ok {
		return time.Time{}, false
	}
	offset, rest, ok := zone(rest)
	if !ok || (len(rest) > 0 && rest[0] != ' ') {
		return time.Time{}, false
	}
	midnight := time.Date(year, time.Month(month), day, 0, 0, 0, nanos, time.UTC)
	return midnight.Add(clock - offset), true
}

// fraction reads ".d…", one to nine digits; RFC 5424 allows six, and more are no reason to lose the time.
func fraction(b []byte) (nanos int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '.' {
		return 0, b, true
	}
	i, unit := 1, 100_000_000
	for ; i < len(b) && digit(b[i]); i++ {
		if i > 9 {
			return 0, nil, false
		}
		nanos += int(b[i]-'0') * unit
		unit /= 10
	}
	return nanos, b[i:], i > 1
}

func zone(b []byte) (offset time.Duration, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == 'Z' {
		return 0, b[1:], true
	}
	if len(b) < len("+00:00") || b[3] != ':' || (b[0] != '+' && b[0] != '-') {
		return 0, nil, false
	}
	hours, ok1 := number(b[1:3])
	minutes, ok2 := number(b[4:6])
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, nil, false
	}
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if b[0] == '-' {
		offset = -offset
	}
	return offset, b[6:], true
}

// clockOf reads "22:14:15". RFC 5424 forbids leap seconds.
func clockOf(b []byte) (time.Duration, bool) {
	if b[2] != ':' || b[5] != ':' {
		return 0, false
	}
	h, ok1 := number(b[:2])
	m, ok2 := number(b[3:5])
	s, ok3 := number(b[6:8])
	if !ok1 || !ok2 || !ok3 || h > 23 || m > 59 || s > 59 {
		return 0, false
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func number(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if !digit(c) {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func days(year int, m time.Month) int {
	switch m {
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	default:
		return 31
	}
}
