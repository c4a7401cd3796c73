package cs

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	sdk "github.com/openshift-online/ocm-sdk-go"
	"github.com/openshift-online/ocm-sdk-go/authentication"
)

const (
	dialTimeout = 5 * time.Second
	// A pooled connection is closed before the usual load balancer does it.
	idleTimeout = 90 * time.Second
	// HTTP/2 only: a connection that lost its peer would otherwise be used on
	// for as long as TCP keeps trying, since a missed deadline ends one stream.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second

	maxReply = 8 << 20
	// maxRetryAfter keeps a strange header from silencing a poller for good.
	maxRetryAfter = 5 * time.Minute
)

// connect builds the SDK's connection. It makes no call.
func connect(cfg Config, deps Deps, scrub scrubber) (*sdk.Connection, error) {
	builder := sdk.NewUnauthenticatedConnectionBuilder()
	if cfg.Auth != AuthNone {
		builder = sdk.NewConnectionBuilder().TokenURL(tokenURL(cfg))
	}
	switch cfg.Auth {
	case AuthToken:
		builder = builder.Tokens(cfg.Token.Reveal())
	case AuthClient:
		builder = builder.Client(cfg.ClientID, cfg.ClientSecret.Reveal())
	}
	if cfg.CAFile != "" {
		builder = builder.TrustedCAFile(cfg.CAFile)
	}
	allowed, err := allowedHosts(cfg)
	if err != nil {
		return nil, err
	}
	return builder.
		URL(cfg.URL).
		Agent(cfg.UserAgent).
		Logger(logger{log: deps.Log, scrub: scrub}).
		// The SDK sleeps between attempts without watching the context and
		// ignores Retry-After: whoever calls repeats.
		RetryLimit(0).
		TransportWrapper(func(base http.RoundTripper) http.RoundTripper {
			if deps.Transport != nil {
				base = deps.Transport
			} else if t, ok := base.(*http.Transport); ok {
				tune(t, cfg)
			}
			return &transport{base: base, allowed: allowed}
		}).
		Build()
}

// tune gives the SDK's transport what Go leaves out: a pool as large as the
// calls in flight (the default is 2) and bounds on each step.
func tune(t *http.Transport, cfg Config) {
	dialer := &net.Dialer{Timeout: min(dialTimeout, cfg.Timeout), KeepAlive: 15 * time.Second}
	t.DialContext = dialer.DialContext
	t.TLSHandshakeTimeout = min(dialTimeout, cfg.Timeout)
	t.ResponseHeaderTimeout = cfg.Timeout
	t.IdleConnTimeout = idleTimeout
	t.MaxIdleConns = cfg.Concurrency
	t.MaxIdleConnsPerHost = cfg.Concurrency
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
}

func tokenURL(cfg Config) string {
	if cfg.TokenURL != "" {
		return cfg.TokenURL
	}
	return authentication.DefaultTokenURL
}

// allowedHosts lists scheme://host of all places that may be sent anything.
func allowedHosts(cfg Config) (map[string]bool, error) {
	texts := []string{cfg.URL}
	asks, err := cfg.asksForTokens()
	if err != nil {
		return nil, fmt.Errorf("read token: %w", err)
	}
	if asks {
		texts = append(texts, tokenURL(cfg))
	}
	allowed := map[string]bool{}
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("parse URL: %w", err)
		}
		allowed[u.Scheme+"://"+u.Host] = true
	}
	return allowed, nil
}

// transport is the innermost one. It sees what the SDK hides from a caller: the
// status and Retry-After of a reply whose content type is not JSON.
type transport struct {
	base    http.RoundTripper
	allowed map[string]bool
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	// The SDK follows redirects and adds the token to each request.
	if !t.allowed[req.URL.Scheme+"://"+req.URL.Host] {
		return nil, fmt.Errorf("request to a host that was not configured is refused: %.100q", req.URL.Host)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if seen, ok := req.Context().Value(sightKey{}).(*sight); ok {
		seen.status = resp.StatusCode
		seen.retryAfter = retryAfter(resp.Header, time.Now())
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxReply}
	return resp, nil
}

// sight is what the transport saw of the reply to one call.
type sight struct {
	status     int // 0: no reply
	retryAfter time.Duration
}

type sightKey struct{}

func withSight(ctx context.Context, s *sight) context.Context {
	return context.WithValue(ctx, sightKey{}, s)
}

// retryAfter reads the header's two forms, seconds and a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// boundedBody fails where a reply is too long to be one.
type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("reply is longer than %d bytes", maxReply)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
