package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Effect is what happens to a request, as far as any HTTP server can do it. The
// zero value does nothing.
type Effect struct {
	// Before delays the request before it is applied, After the reply to it;
	// Jitter adds to each up to as much again, by chance.
	Before Duration `json:"before,omitempty"`
	After  Duration `json:"after,omitempty"`
	Jitter Duration `json:"jitter,omitempty"`

	// Status is answered in place of the server's own answer; 0: none.
	// Header, which may also be set alone, is added to the answer.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	// Body goes with Status; nil: the server writes its usual error.
	Body *string `json:"body,omitempty"`

	// Reply says what becomes of the answer; empty: it arrives.
	Reply Reply `json:"reply,omitempty"`

	// Applied lets a request that Status, Reset or Hang keeps from its answer be
	// carried out all the same.
	Applied bool `json:"applied,omitempty"`
}

// Reply is what becomes of an answer.
type Reply string

// The ways in which an answer does not arrive.
const (
	// Reset closes the connection without an answer.
	Reset Reply = "reset"
	// Hang never answers: it waits until the client gives up.
	Hang Reply = "hang"
	// Cut closes the connection after half of the answer's body.
	Cut Reply = "cut"
	// Short sends half of the answer's body as if that were all.
	Short Reply = "short"
)

// HTTP implements part of Effects.
func (e Effect) HTTP() Effect { return e }

func (e Effect) validate() error {
	var errs []error
	if e.Before < 0 || e.After < 0 || e.Jitter < 0 {
		errs = append(errs, errors.New("before, after and jitter cannot be negative"))
	}
	if e.Status != 0 && (e.Status < 200 || e.Status > 599) {
		errs = append(errs, fmt.Errorf("status is %d: it must be from 200 to 599", e.Status))
	}
	if e.Status == 0 && e.Body != nil {
		errs = append(errs, errors.New("body needs a status"))
	}
	switch e.Reply {
	case "", Reset, Hang, Cut, Short:
	default:
		errs = append(errs, fmt.Errorf("reply is %q: there are reset, hang, cut and short", e.Reply))
	}
	if e.Applied && e.applies() {
		errs = append(errs, errors.New("applied needs a status, or reply reset or hang"))
	}
	return errors.Join(errs...)
}

// applies reports whether the request is carried out without being told so.
func (e Effect) applies() bool { return e.Status == 0 && e.Reply != Reset && e.Reply != Hang }

// Merge puts the effects of several hits together: waits add up, headers join,
// and the first that changes the answer does.
func Merge[E Effects](hits []Hit[E]) Effect {
	var all Effect
	for _, hit := range hits {
		e := hit.Effect.HTTP()
		jitter := Duration(hit.Chance * float64(e.Jitter))
		if e.Before > 0 || e.After == 0 {
			all.Before += e.Before + jitter
		}
		if e.After > 0 {
			all.After += e.After + jitter
		}
		for name, value := range e.Header {
			if all.Header == nil {
				all.Header = map[string]string{}
			}
			all.Header[http.CanonicalHeaderKey(name)] = value
		}
		if all.Status == 0 && all.Reply == "" {
			all.Status, all.Body, all.Reply, all.Applied = e.Status, e.Body, e.Reply, e.Applied
		}
	}
	return all
}
