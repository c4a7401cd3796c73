package notification

import (
	"net"
	"sync"
	"time"
)

// wire is one end of a net.Pipe that holds some of what was written, as a socket
// does: net/http closes connections under a lock, with a last record to write.
type wire struct {
	net.Conn
	out  chan []byte
	done chan struct{}
	once sync.Once
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c, out: make(chan []byte, 64), done: make(chan struct{})}
	go w.pump()
	return w
}

func (w *wire) Write(p []byte) (int, error) {
	select {
	case <-w.done:
		return 0, net.ErrClosed
	default:
	}
	select {
	case w.out <- append([]byte(nil), p...):
		return len(p), nil
	case <-w.done:
		return 0, net.ErrClosed
	}
}

// Close lets what was written get through, for a second.
func (w *wire) Close() error {
	w.once.Do(func() {
		close(w.done)
		w.SetReadDeadline(time.Unix(1, 0))
		w.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	})
	return nil
}

func (w *wire) SetDeadline(at time.Time) error { return w.SetReadDeadline(at) }

// SetWriteDeadline has nothing to do: a write ends at once, or with the wire.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) pump() {
	defer w.Conn.Close()
	defer w.Close()
	for {
		select {
		case p := <-w.out:
			if _, err := w.Conn.Write(p); err != nil {
				return
			}
			continue
		default:
		}
		select {
		case p := <-w.out:
			if _, err := w.Conn.Write(p); err != nil {
				return
			}
		case <-w.done:
			if len(w.out) == 0 {
				return
			}
		}
	}
}
