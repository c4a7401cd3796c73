package cs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	ocm "github.com/openshift-online/ocm-sdk-go/errors"
)

// reply is what the SDK makes of one call.
type reply struct {
	status int   // of a reply with a JSON content type, else 0
	body   bool  // there was something in it
	err    error // of the SDK
	flaw   error // what the body lacks
}

// call does one call under all bounds, and judges, counts and remembers how it
// ended. suffix is what follows the object's path.
func (c *Client) call(ctx context.Context, ref Ref, suffix string, send func(context.Context) reply) error {
	if err := ref.check(); err != nil {
		return fmt.Errorf("ask cluster service: %w", err)
	}
	path := ref.Path()
	if ref.Kind == Cluster || ref.Kind == NodePool {
		path += suffix
	}
	return c.get(ctx, ref.Kind, path, send)
}

// get is call for a path that need not be an object's. It counts as one of kind.
func (c *Client) get(ctx context.Context, kind Kind, path string, send func(context.Context) reply) error {
	object, _, _ := strings.Cut(path, "?")
	if err := c.gate.check(object); err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	if err := c.enter(ctx); err != nil {
		return fmt.Errorf("get %s: %w", path, &UnavailableError{err: err})
	}
	defer c.leave()
	turn, err := c.gate.enter(object)
	if err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	var verdict verdict
	defer func() { c.gate.leave(turn, object, verdict) }() // a panic of the SDK's tells nothing

	start := time.Now()
	verdict = c.send(ctx, send)
	verdict.err = c.scrub.err(verdict.err)
	c.metrics.observe(kind, verdict.result, time.Since(start))
	c.trace(ctx, kind, object, start, verdict)

	err = verdict.err
	switch verdict.sort {
	case answered:
		c.health.set(nil)
	case silent:
		err = &UnavailableError{RetryAfter: verdict.retryAfter, err: err}
		c.health.set(err)
	case nothing:
		err = &UnavailableError{err: err}
	}
	if err != nil {
		return fmt.Errorf("get %s: %w", path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, send func(context.Context) reply) verdict {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.authorize(bounded); err != nil {
		r := judge(sight{}, reply{err: fmt.Errorf("get token: %w", err)}, ctx.Err(), bounded.Err())
		if r.result == resultConnection {
			r.result = resultCredentials
		}
		return r
	}
	var seen sight
	r := send(withSight(bounded, &seen))
	v := judge(seen, r, ctx.Err(), bounded.Err())
	v.status = seen.status
	return v
}

// tokenMargin is what the SDK wants a token to live still before it sends it.
const tokenMargin = time.Minute

// authorize makes sure that the SDK has a token that outlives the call. Left to
// itself it would get one under a mutex: callers would queue for that without
// watching their deadlines.
func (c *Client) authorize(ctx context.Context) error {
	if c.token == nil {
		return nil
	}
	select {
	case c.token <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.token }()
	_, _, err := c.conn.TokensContext(ctx, tokenMargin+c.timeout)
	return err
}

// sort says what a call tells about Cluster Service as a whole.
type sort uint8

const (
	nothing  sort = iota // the caller gave up
	answered             // it gave an answer, of use or not
	silent               // it did not
)

type verdict struct {
	sort       sort
	result     result
	status     int // 0: no reply
	retryAfter time.Duration
	err        error
}

// judge reads one reply. callerErr and deadlineErr are how the caller's context
// and that of the call stand after it.
func judge(seen sight, r reply, callerErr, deadlineErr error) verdict {
	// An SDK error of the type Error is CS's only if it says anything: the SDK
	// makes one of any JSON object.
	var own *ocm.Error
	isOwn := errors.As(r.err, &own) && (own.ID() != "" || own.Code() != "" || own.Reason() != "")

	switch {
	case r.err == nil && r.status == http.StatusOK && r.body:
		if r.flaw != nil {
			return verdict{sort: answered, result: resultUnusable, err: r.flaw}
		}
		return verdict{sort: answered, result: resultOK}

	case seen.status == http.StatusTooManyRequests:
		return verdict{sort: silent, result: resultThrottled, retryAfter: seen.retryAfter, err: r.failure(seen)}
	case seen.status >= http.StatusInternalServerError:
		return verdict{sort: silent, result: resultServer, retryAfter: seen.retryAfter, err: r.failure(seen)}
	case seen.status == http.StatusUnauthorized, seen.status == http.StatusForbidden && !isOwn:
		return verdict{sort: silent, result: resultCredentials, err: r.failure(seen)}
	case seen.status == http.StatusRequestTimeout:
		return verdict{sort: silent, result: resultTimeout, err: r.failure(seen)}

	case isOwn && own.Status() == http.StatusNotFound && !noShard(own):
		return verdict{sort: answered, result: resultNotFound, err: fmt.Errorf("%w: %w", ErrNotFound, own)}
	case isOwn:
		return verdict{sort: answered, result: resultRefused, err: own}

	case r.err != nil && errors.Is(callerErr, context.Canceled):
		return verdict{sort: nothing, result: resultCanceled, err: fmt.Errorf("%w: %w", callerErr, r.err)}
	case r.err != nil && (deadlineErr != nil || isTimeout(r.err)):
		return verdict{sort: silent, result: resultTimeout, err: fmt.Errorf("no answer in time: %w", r.err)}
	case seen.status == 0 || isCut(r.err):
		return verdict{sort: silent, result: resultConnection, err: r.failure(seen)}

	case r.err != nil && r.status == http.StatusOK:
		// JSON, but not that of the object.
		return verdict{sort: answered, result: resultUnusable, err: fmt.Errorf("read reply: %w", r.err)}
	}
	return verdict{sort: silent, result: resultForeign, err: r.failure(seen)}
}

// failure is the reply's error, or, where the SDK saw none, one in its place.
func (r reply) failure(seen sight) error {
	switch {
	case r.err != nil && r.status == 0 && seen.status != 0:
		return fmt.Errorf("http status %d: %w", seen.status, r.err)
	case r.err != nil:
		return r.err
	case !r.body:
		return fmt.Errorf("http status %d with an empty body", seen.status)
	}
	return fmt.Errorf("unexpected http status %d", seen.status)
}

// noShard recognises the 404 by which CS says that there is no room for a
// cluster. It has no code of its own, so only its text tells.
func noShard(e *ocm.Error) bool {
	return strings.Contains(strings.ToLower(e.Reason()), "unable to find shard")
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// isCut reports whether the connection ended in the middle of a reply.
func isCut(err error) bool {
	var n net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &n)
}
