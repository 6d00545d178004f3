package syslogtime

import "time"

// rfc3164 reads "Oct  1 22:14:15" followed by a space or the end; the day is padded with a space or a zero.
func rfc3164(b []byte, received time.Time) time.Time {
	const size = len("Oct 11 22:14:15")
	if len(b) < size || (len(b) > size && b[size] != ' ') || b[3] != ' ' || b[6] != ' ' {
		return time.Time{}
	}
	month := monthOf(b[:3])
	tens := b[4]
	if tens == ' ' {
		tens = '0'
	}
	day, ok := number([]byte{tens, b[5]})
	clock, okClock := clockOf(b[7:size])
	if month == 0 || !ok || !okClock || day < 1 || day > days(2000, month) {
		return time.Time{}
	}
	return nearest(month, day, clock, received.UTC())
}

// nearest chooses the year: around New Year, sender and receiver may stand in different ones.
func nearest(month time.Month, day int, clock time.Duration, received time.Time) time.Time {
	var best time.Time
	for year := received.Year() - 1; year <= received.Year()+1; year++ {
		if day > days(year, month) || year < firstYear || year > lastYear {
			continue
		}
		t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Add(clock)
		if best.IsZero() || t.Sub(received).Abs() < best.Sub(received).Abs() {
			best = t
		}
	}
	return best
}

func monthOf(b []byte) time.Month {
	switch string(b) {
	case "Jan":
		return time.January
	case "Feb":
		return time.February
	case "Mar":
		return time.March
	case "Apr":
		return time.April
	case "May":
		return time.May
	case "Jun":
		return time.June
	case "Jul":
		return time.July
	case "Aug":
		return time.August
	case "Sep":
		return time.September
	case "Oct":
		return time.October
	case "Nov":
		return time.November
	case "Dec":
		return time.December
	default:
		return 0
	}
}
