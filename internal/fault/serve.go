package fault

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Answers are a server's two ways to answer one request, and its log.
type Answers struct {
	// Apply carries the request out and writes the server's own answer.
	Apply http.HandlerFunc
	// Refuse writes the server's usual answer with e's status, without applying
	// anything. It is called only if e has a status and no body.
	Refuse func(w http.ResponseWriter, e Effect)
	// Ended is told once how the request ended: right before its answer begins, so
	// that whoever has the answer finds the request in a log; or when it is clear
	// that there will be none.
	Ended func(End)
}

// End is how a request ended. The zero value: without an answer.
type End struct {
	Status int
	Header http.Header // to be read only
	Bytes  int         // of the body, whether or not all arrive
}

// Serve answers a request under an effect. Like any handler of net/http it may
// panic with http.ErrAbortHandler, which closes the connection. The request's
// body must have been read: until then net/http does not notice a client that
// goes away, and an answer that hangs would hang for ever.
func Serve(w http.ResponseWriter, r *http.Request, e Effect, a Answers) {
	own := a.answer(r, e)
	if own == nil {
		a.Ended(End{})
		panic(http.ErrAbortHandler)
	}
	own.send(w, e.Reply, a.Ended)
}

// answer is what there is to send; nil if there is nothing.
func (a *Answers) answer(r *http.Request, e Effect) *answer {
	if !wait(r.Context(), e.Before) {
		return nil // nobody is there any more
	}
	own := &answer{header: http.Header{}, status: http.StatusOK}
	if e.applies() || e.Applied {
		a.Apply(own, r)
	}
	if e.Status != 0 {
		own = &answer{header: http.Header{}, status: e.Status}
		if e.Body == nil {
			a.Refuse(own, e)
		} else {
			own.body.WriteString(*e.Body)
		}
	}
	for name, value := range e.Header {
		own.header.Set(name, value)
	}
	if e.Reply == Hang {
		<-r.Context().Done()
	}
	if !wait(r.Context(), e.After) || e.Reply == Hang || e.Reply == Reset {
		return nil
	}
	return own
}

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(time.Duration(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer is one that is held back until it is known what becomes of it.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *answer) send(w http.ResponseWriter, reply Reply, ended func(End)) {
	maps.Copy(w.Header(), a.header)
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		ended(End{a.status, a.header, 0})
		w.WriteHeader(a.status) // there is no body to lose
		return
	}
	body := a.body.Bytes()
	whole := len(body)
	if reply == Cut || reply == Short {
		body = body[:whole/2]
	}
	if reply == Short {
		whole = len(body)
	}
	w.Header().Set("Content-Length", strconv.Itoa(whole))
	ended(End{a.status, a.header, whole})
	w.WriteHeader(a.status)
	w.Write(body) //nolint:errcheck // the client has gone
	if reply == Cut {
		http.NewResponseController(w).Flush() // the client may have gone
		panic(http.ErrAbortHandler)
	}
}
