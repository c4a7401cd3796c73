package fault

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Answers are a server's two ways to answer one request.
type Answers struct {
	// Apply carries the request out and writes the server's own answer.
	Apply http.HandlerFunc
	// Refuse writes the server's usual answer with e's status, without applying
	// anything. It is called only if e has a status and no body.
	Refuse func(w http.ResponseWriter, e Effect)
}

// Serve answers a request under an effect. Like any handler of net/http it may
// panic with http.ErrAbortHandler, which closes the connection. The request's
// body must have been read: until then net/http does not notice a client that
// goes away, and an answer that hangs would hang for ever.
func Serve(w http.ResponseWriter, r *http.Request, e Effect, a Answers) {
	if !wait(r.Context(), e.Before) {
		panic(http.ErrAbortHandler) // nobody is there any more
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
	if !wait(r.Context(), e.After) {
		panic(http.ErrAbortHandler)
	}
	own.send(w, r, e.Reply)
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

func (a *answer) send(w http.ResponseWriter, r *http.Request, reply Reply) {
	if reply == Hang {
		<-r.Context().Done()
	}
	if reply == Hang || reply == Reset {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
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
	w.WriteHeader(a.status)
	w.Write(body) //nolint:errcheck // the client has gone
	if reply == Cut {
		http.NewResponseController(w).Flush() // the client may have gone
		panic(http.ErrAbortHandler)
	}
}
