package sdk

import "context"

// Writers are the Writers of a receiver whose records are of two classes, or of one.
type Writers struct {
	Bulk     *Writer
	Critical *Writer // nil when no record is critical
}

// NewWriters makes the Writer of the bulk class, and the one of the critical class when there are critical records.
func NewWriters(out Intake, s Setup, critical bool) (w Writers, err error) {
	if w.Bulk, err = NewWriter(out, s, WriterOptions{}); err != nil || !critical {
		return w, err
	}
	w.Critical, err = NewWriter(out, s, WriterOptions{Class: ClassCritical})
	return w, err
}

// All lists the Writers that there are, the critical one first.
func (w Writers) All() []*Writer {
	if w.Critical == nil {
		return []*Writer{w.Bulk}
	}
	return []*Writer{w.Critical, w.Bulk}
}

// Flush has the core decide on everything that was written.
func (w Writers) Flush(ctx context.Context) error {
	for _, one := range w.All() {
		if err := one.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}
