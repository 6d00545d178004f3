package pluginhost

import (
	"fmt"
	"os"
	"sync"
)

// images keeps the sealed copy of each plugin's file, so that components with the same plugin share its memory and a
// restart does not copy it again. It holds at most one copy per file; one that was replaced goes with its last user.
type images struct {
	mu     sync.Mutex // guards what follows
	byPath map[string]*image
}

// get returns the image of a file as it is now. The caller gives it back with put.
func (s *images) get(path string) (*image, error) {
	id, err := identify(path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byPath[path]
	if old != nil && old.id == id {
		old.users++
		return old, nil
	}
	img, err := seal(path)
	if err != nil {
		return nil, err
	}
	if old != nil {
		s.release(old)
	}
	img.users = 2 // the map and the caller
	s.byPath[path] = img
	return img, nil
}

func (s *images) put(img *image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(img)
}

// release is called under the lock.
func (s *images) release(img *image) {
	if img.users--; img.users == 0 {
		_ = img.file.Close()
	}
}

// close gives up all copies. Those in use go with their last user.
func (s *images) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, img := range s.byPath {
		delete(s.byPath, path)
		s.release(img)
	}
}

// identifyOpen is identify for an open file.
func identifyOpen(f *os.File) (fileID, error) {
	info, err := f.Stat()
	if err != nil {
		return fileID{}, fmt.Errorf("pluginhost: %w", err)
	}
	return identity(f.Name(), info)
}
