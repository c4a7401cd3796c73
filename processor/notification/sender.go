package notification

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"opfeed/internal/tracing"
)

// Deps is what a Sender is given besides its configuration.
type Deps struct {
	Metrics prometheus.Registerer // nil: no metrics
	// Transport carries the requests instead of the network, and then nothing
	// guards addresses: it is for tests. nil: the network. It must honour the
	// request's context and follow no redirects.
	Transport http.RoundTripper
	// Tracing makes a span of each notification that belongs to a span; nil: none.
	Tracing trace.TracerProvider
}

// Sender tells ARM of outcomes. One is enough for a process; it is safe for
// concurrent use. It keeps nothing open between two notifications, and so needs
// no closing. It logs nothing: errors say all that may be said.
type Sender struct {
	hosts   hosts
	timeout time.Duration
	agent   string
	slots   chan struct{} // one held by each notification in flight
	carrier http.RoundTripper
	metrics *metrics
	tracer  *tracing.Tracer // nil: none
}

// New checks the configuration and returns a sender. It makes no call.
func New(cfg Config, deps Deps) (*Sender, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure notifications: %w", err)
	}
	metrics, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register notification metrics: %w", err)
	}
	if deps.Transport == nil {
		deps.Transport = newNetwork()
	}
	return &Sender{
		hosts:   newHosts(cfg.Hosts),
		timeout: cfg.Timeout,
		agent:   cfg.UserAgent,
		slots:   make(chan struct{}, cfg.Concurrency),
		carrier: deps.Transport,
		metrics: metrics,
		tracer:  tracing.New(deps.Tracing, "notification"),
	}, nil
}

// Send posts the payload to the URI, once, and waits for the answer, within
// Config.Timeout. nil means that ARM has taken it. The error is a *RefusedError
// or an *UnavailableError.
func (s *Sender) Send(ctx context.Context, uri string, p Payload) error {
	start := time.Now()
	err := s.send(ctx, uri, p)
	s.metrics.observe(err, time.Since(start))
	s.trace(ctx, uri, start, err)
	return err
}

func (s *Sender) check(uri string) (*url.URL, error) {
	target, why := s.hosts.target(uri)
	if why != "" {
		return nil, &RefusedError{Reason: "uri: " + why, result: resultURI}
	}
	return target, nil
}

func (s *Sender) send(ctx context.Context, uri string, p Payload) error {
	target, err := s.check(uri)
	if err != nil {
		return err
	}
	body, err := p.encode()
	if err != nil {
		return &RefusedError{Reason: "payload: cannot be written as JSON", result: resultPayload}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.post(ctx, target, body)
}

// enter waits for a place among the notifications in flight.
func (s *Sender) enter(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
	}
	if err := ctx.Err(); !errors.Is(err, context.Canceled) {
		return &UnavailableError{Reason: "no free place in time", result: resultBusy, err: err}
	}
	return failure(ctx, nil)
}

func (s *Sender) leave() { <-s.slots }

func (s *Sender) post(ctx context.Context, target *url.URL, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(body))
	if err != nil {
		return &RefusedError{Reason: "uri: not a URI", result: resultURI}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.agent) // empty: none is sent
	resp, err := s.carrier.RoundTrip(req)
	if err != nil {
		return failure(ctx, err)
	}
	// Its body is of no use to anybody, and not read: the status has come.
	_ = resp.Body.Close()
	return judge(resp.StatusCode, resp.Header, time.Now())
}
