package severity

import "slices"

// Level is a severity; the smaller, the more severe.
type Level uint8

// From RFC 5424, section 6.2.1.
const (
	levels      = 8
	maxPriority = 191 // facility 23, severity 7
)

// names are in the order of their levels, as syslog.conf and logger(1) write them.
func names() []string {
	return []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
}

// Of returns the severity of a message that begins with "<", one to three digits that make at most 191, and ">". ok is
// false when it does not.
func Of(message []byte) (l Level, ok bool) {
	if len(message) == 0 || message[0] != '<' {
		return 0, false
	}
	priority := 0
	for i, c := range message[1:min(len(message), len("<191>"))] {
		switch {
		case c == '>':
			return Level(priority % levels), i > 0 && priority <= maxPriority
		case c < '0' || c > '9':
			return 0, false
		}
		priority = priority*10 + int(c-'0')
	}
	return 0, false
}

// Threshold tells the messages that matter from the others. The zero value is none: no message does.
type Threshold struct {
	below Level // levels below this one are taken
}

// None is how an operator writes the threshold that takes no message.
const None = "none"

// Thresholds lists what ParseThreshold reads: None, then the severities, the most severe first.
func Thresholds() []string { return append([]string{None}, names()...) }

// ParseThreshold reads None or the name of the least severe level that is taken.
func ParseThreshold(text string) (t Threshold, ok bool) {
	if text == None {
		return Threshold{}, true
	}
	i := slices.Index(names(), text)
	return Threshold{below: Level(i + 1)}, i >= 0
}

// Never says whether the threshold takes no message at all.
func (t Threshold) Never() bool { return t.below == 0 }

// Takes says whether a message is as severe as the threshold or more. One without a readable priority is not.
func (t Threshold) Takes(message []byte) bool {
	if t.Never() {
		return false
	}
	l, ok := Of(message)
	return ok && l < t.below
}
