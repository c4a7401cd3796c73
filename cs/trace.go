package cs

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"opfeed/internal/tracing"
)

// trace makes the span of a call. path has no query. Of an error it says how the
// metrics count it: Cluster Service's own words may be anything.
func (c *Client) trace(ctx context.Context, kind Kind, path string, began time.Time, v verdict) {
	if !c.tracer.Wants(ctx) {
		return
	}
	route := template(path)
	call := tracing.Call{Name: http.MethodGet + " " + route, Began: began, Attributes: []attribute.KeyValue{
		semconv.HTTPRequestMethodGet, semconv.URLTemplate(route), tracing.String(string(semconv.URLPathKey), path),
		semconv.ServerAddress(c.host), attribute.String("kind", kind.String()), attribute.String("opfeed.result", string(v.result)),
	}}
	words := strings.ReplaceAll(string(v.result), "_", " ")
	if v.status != 0 {
		call.Attributes = append(call.Attributes, semconv.HTTPResponseStatusCode(v.status))
		words += ", status " + strconv.Itoa(v.status)
	}
	if v.result != resultOK && v.result != resultNotFound { // which says that it is gone
		call.Failure, call.Words = string(v.result), words
	}
	c.tracer.Record(ctx, call)
}

// template is a path with its ids left out.
func template(path string) string {
	segments := strings.Split(path, "/")
	for i := 1; i < len(segments); i++ {
		switch segments[i-1] {
		case "clusters", "node_pools", "external_auths", "break_glass_credentials":
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}

// hostOf is the host of a URL that was validated.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return tracing.Text(u.Hostname())
}
