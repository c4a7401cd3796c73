package tracing

import (
	"slices"
	"strings"
	"testing"
)

func TestWanted(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
	for _, c := range []struct {
		name    string
		environ []string
		want    []string
		problem string // the variable
	}{
		{"nothing", []string{"PATH=/bin", "OPFEED_LISTEN=:1"}, nil, ""},
		{"other variables do not ask", []string{"OTEL_SERVICE_NAME=x", "OTEL_TRACES_SAMPLER=always_on", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, nil, ""},
		{"endpoint", []string{endpoint}, []string{"otlp"}, ""},
		{"endpoint of traces", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c/v1/traces"}, []string{"otlp"}, ""},
		{"empty is unset", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=", "OTEL_TRACES_EXPORTER="}, nil, ""},
		{"exporter", []string{"OTEL_TRACES_EXPORTER=otlp"}, []string{"otlp"}, ""},
		{"console", []string{"OTEL_TRACES_EXPORTER=console"}, []string{"console"}, ""},
		{"both, once", []string{"OTEL_TRACES_EXPORTER=otlp, console,otlp"}, []string{"otlp", "console"}, ""},
		{"none", []string{endpoint, "OTEL_TRACES_EXPORTER=none"}, nil, ""},
		{"disabled", []string{endpoint, "OTEL_TRACES_EXPORTER=otlp", "OTEL_SDK_DISABLED=TRUE"}, nil, ""},
		{"not disabled", []string{endpoint, "OTEL_SDK_DISABLED=1"}, []string{"otlp"}, ""}, // true alone disables
		{"unknown exporter", []string{"OTEL_TRACES_EXPORTER=zipkin"}, nil, "OTEL_TRACES_EXPORTER"},
		{"protocol", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, []string{"otlp"}, ""},
		{"grpc", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, nil, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{"grpc for traces", []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc"}, nil, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"},
		{"grpc for the others", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, []string{"otlp"}, ""},
		{"grpc, but not by otlp", []string{"OTEL_TRACES_EXPORTER=console", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, []string{"console"}, ""},
		{"the last counts", []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_EXPORTER=none"}, nil, ""},
	} {
		have, err := wanted(c.environ)
		if !slices.Equal(have, c.want) {
			t.Errorf("%s: have %q, want %q", c.name, have, c.want)
		}
		if (err != nil) != (c.problem != "") || err != nil && (!strings.HasPrefix(err.Error(), c.problem+": ") || strings.Contains(err.Error(), "zipkin")) {
			t.Errorf("%s: have %v, want a problem with %q", c.name, err, c.problem)
		}
	}
}
