package send

import "time"

// SetLimits makes sessions short.
func (s *Sender) SetLimits(frames, last uint64, age time.Duration) {
	s.limits = limits{frames: frames, last: last, age: age}
}
