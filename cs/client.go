package cs

import (
	"context"
	"fmt"
	"net/http"
	"time"

	sdk "github.com/openshift-online/ocm-sdk-go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"opfeed/internal/tracing"
)

// Deps is what a Client is given besides its configuration.
type Deps struct {
	Log     *zap.Logger           // nil: no log
	Metrics prometheus.Registerer // nil: no metrics
	// Transport carries the requests instead of the network; nil: the network.
	// It must honour the request's context.
	Transport http.RoundTripper
	// Tracing makes a span of each call that belongs to a span; nil: none.
	Tracing trace.TracerProvider
}

// Client asks Cluster Service. One is enough for a process; it is safe for
// concurrent use.
type Client struct {
	conn    *sdk.Connection
	timeout time.Duration
	slots   chan struct{} // one held by each call in flight
	token   chan struct{} // one: held while the SDK may ask for a token
	limit   *rate.Limiter // nil: no limit
	closing chan struct{} // one: whoever takes it closes
	closed  chan struct{} // closed when no more calls are let in
	drained chan struct{} // closed when none is left

	listWindow time.Duration // 0: lists save no calls
	log        *zap.Logger
	scrub      scrubber
	gate       *gate
	health     *health
	metrics    *metrics
	tracer     *tracing.Tracer // nil: none
	host       string
}

// New checks the configuration and returns a client. It makes no call.
func New(cfg Config, deps Deps) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure cluster service client: %w", err)
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	scrub := newScrubber(cfg)
	metrics, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register cluster service metrics: %w", err)
	}
	conn, err := connect(cfg, deps, scrub)
	if err != nil {
		return nil, fmt.Errorf("connect to cluster service: %w", scrub.err(err))
	}
	c := &Client{
		conn:    conn,
		timeout: cfg.Timeout,
		slots:   make(chan struct{}, cfg.Concurrency),
		closing: make(chan struct{}, 1),
		closed:  make(chan struct{}),
		drained: make(chan struct{}),
		log:     deps.Log,
		scrub:   scrub,
		gate:    newGate(cfg, metrics.open),
		health:  newHealth(deps.Log),
		metrics: metrics,
		tracer:  tracing.New(deps.Tracing, "cs"),
		host:    hostOf(cfg.URL),
	}
	if cfg.Auth != AuthNone {
		c.token = make(chan struct{}, 1)
	}
	if cfg.ListPolling {
		c.listWindow = cfg.ListWindow
	}
	if cfg.Rate > 0 {
		// What was not used within the last second may be used at once.
		c.limit = rate.NewLimiter(rate.Limit(cfg.Rate), max(1, int(cfg.Rate)))
	}
	return c, nil
}

// Healthy reports whether Cluster Service works, since when, and, if not, what
// went wrong last. A zero time means that it was not asked yet: then it does not
// count as working. Any answer of its own counts as working, 404 and other 4xx
// included; not so server errors, 429, refused credentials (401, 403), failed
// connections, missed deadlines and replies that are not Cluster Service's.
func (c *Client) Healthy() (ok bool, since time.Time, lastErr string) {
	return c.health.get()
}

// Close waits for the calls in flight, each of which has a deadline, and closes
// the connection. Calls that come later, or still wait for their turn, fail with an
// [*UnavailableError]. It may be called more than once.
func (c *Client) Close() error {
	select {
	case c.closing <- struct{}{}:
	default:
		<-c.drained
		return nil
	}
	close(c.closed)
	defer close(c.drained)
	// The SDK's connection must not be closed beside a call: a data race.
	for range cap(c.slots) {
		c.slots <- struct{}{}
	}
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close cluster service connection: %w", c.scrub.err(err))
	}
	return nil
}

// enter waits for a place among the calls in flight and for the rate limit, for
// as long as a call may take and no longer: a jam must not hold callers for
// ever. The place is taken first, so that a jam ends in no burst above the rate.
func (c *Client) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case <-c.closed:
		return errClosed
	default:
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.closed:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("wait for a free place: %w", ctx.Err())
	}
	select {
	case <-c.closed: // both were ready, and chance chose the place
		c.leave()
		return errClosed
	default:
	}
	if c.limit == nil {
		return nil
	}
	// It fails at once if the turn would come after the deadline.
	if err := c.limit.Wait(ctx); err != nil {
		c.leave()
		return fmt.Errorf("wait for the rate limit: %w", err)
	}
	return nil
}

func (c *Client) leave() { <-c.slots }
