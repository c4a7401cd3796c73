package service

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	mostStreams = 16
	// frameTimeout is how long a client may take for one event.
	frameTimeout = 10 * time.Second
	// streamRetry tells browsers when to come again after the end, in milliseconds.
	streamRetry = "retry: 2000\n\n"
)

// frames hands one encoded snapshot a second to all streams. While there is none,
// nothing is encoded.
type frames struct {
	mu      sync.Mutex
	streams int
	frame   []byte
	next    chan struct{} // closed when there is another frame
}

// join takes a place for a stream. Give it back with leave.
func (f *frames) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams == mostStreams {
		return false
	}
	f.streams++
	if f.next == nil {
		f.next = make(chan struct{})
	}
	return true
}

func (f *frames) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams--; f.streams == 0 {
		f.frame = nil // it would be old
	}
}

func (f *frames) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streams > 0
}

// latest gives the newest frame, nil before the first, and what is closed when
// there is a newer one.
func (f *frames) latest() ([]byte, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frame, f.next
}

func (f *frames) publish(frame []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams == 0 {
		return
	}
	f.frame = frame
	close(f.next)
	f.next = make(chan struct{})
}

// frame is the state of this moment as one event; nil if it cannot be told.
func (s *Service) frame() []byte {
	body, err := json.Marshal(s.Snapshot())
	if err != nil {
		s.log.Error("cannot write a reply", zap.Error(err))
		return nil
	}
	return append(append([]byte("event: snapshot\ndata: "), body...), "\n\n"...)
}

// stream sends a snapshot every second as server-sent events, until the client
// goes, takes too long, or the service ends. What a slow client has missed it does
// not get.
func (s *Service) stream(w http.ResponseWriter, r *http.Request) {
	if !s.frames.join() {
		w.Header().Set("Retry-After", "10")
		s.refuse(w, http.StatusServiceUnavailable, "too many pages are open")
		return
	}
	defer s.frames.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy between would hold events back
	if r.Method == http.MethodHead {
		return
	}
	rc := http.NewResponseController(w)
	send := func(frame []byte) bool {
		if err := rc.SetWriteDeadline(time.Now().Add(frameTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return false
		}
		_, err := w.Write(frame)
		return err == nil && rc.Flush() == nil
	}
	frame, next := s.frames.latest()
	if frame == nil {
		frame = s.frame()
	}
	for ok := send([]byte(streamRetry)); ok && send(frame); frame, next = s.frames.latest() {
		select {
		case <-next:
		case <-r.Context().Done():
			return
		}
	}
}
