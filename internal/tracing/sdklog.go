package tracing

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
)

// logSDK gives the SDK a log for what it says of itself, which is mostly of
// variables that it cannot read. Only the SDK's own words are kept: beside them
// stand values of variables, which may be secret.
func logSDK(log *zap.Logger) {
	otel.SetLogger(logr.New(sdkLog{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("opentelemetry reports", zap.String("error", Reason(err.Error())))
	}))
}

type sdkLog struct{ log *zap.Logger }

func (sdkLog) Init(logr.RuntimeInfo)            {}
func (sdkLog) Enabled(int) bool                 { return false } // information
func (sdkLog) Info(int, string, ...any)         {}
func (l sdkLog) WithValues(...any) logr.LogSink { return l }
func (l sdkLog) WithName(string) logr.LogSink   { return l }
func (l sdkLog) Error(_ error, m string, _ ...any) {
	l.log.Warn("opentelemetry reports", zap.String("error", Text(m)))
}

// failure is what may be said of an error of the exporter: nothing of the URL, in
// which a password may be, and nothing of the answer.
func failure(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "given up at the end of the process"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return Text(e.Err.Error())
	}
	text, _, _ := strings.Cut(err.Error(), "body: ") // of the answer: it may echo what was sent
	return Text(text)
}
