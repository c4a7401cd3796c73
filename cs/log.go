package cs

import (
	"context"
	"fmt"

	"github.com/openshift-online/ocm-sdk-go/logging"
	"go.uber.org/zap"
)

// logger writes the SDK's warnings and errors to zap. Debug is off for good:
// with it the SDK would dump requests and replies, kubeconfigs included.
type logger struct {
	log   *zap.Logger
	scrub scrubber
}

var _ logging.Logger = logger{}

func (l logger) DebugEnabled() bool { return false }
func (l logger) InfoEnabled() bool  { return false }
func (l logger) WarnEnabled() bool  { return l.log.Core().Enabled(zap.WarnLevel) }
func (l logger) ErrorEnabled() bool { return l.log.Core().Enabled(zap.ErrorLevel) }

// Debug and Info do nothing: the SDK calls them whatever the above say.
func (l logger) Debug(context.Context, string, ...any) {}
func (l logger) Info(context.Context, string, ...any)  {}

func (l logger) Warn(_ context.Context, format string, args ...any) {
	if ce := l.log.Check(zap.WarnLevel, "cluster service sdk warns"); ce != nil {
		ce.Write(l.text(format, args))
	}
}

func (l logger) Error(_ context.Context, format string, args ...any) {
	if ce := l.log.Check(zap.ErrorLevel, "cluster service sdk reports an error"); ce != nil {
		ce.Write(l.text(format, args))
	}
}

// Fatal is asked to end the process, which is no library's business.
func (l logger) Fatal(ctx context.Context, format string, args ...any) {
	l.Error(ctx, format, args...)
}

func (l logger) text(format string, args []any) zap.Field {
	return zap.String("text", l.scrub.text(fmt.Sprintf(format, args...)))
}
