// Package tracing makes OpenTelemetry spans, if the environment asks for them
// by the standard OTEL_ variables.
//
// A [Provider] is for the process: it reads its environment and sends spans. All
// others take a trace.TracerProvider, nil for none, and make a [Tracer] of it,
// which is nil then and costs a comparison. No span is asked of the SDK's global
// provider.
//
// What a span says must be fit to be seen by whoever sees the log: texts of
// others go through [Text].
package tracing
