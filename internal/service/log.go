package service

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Values of Config.LogFormat.
const (
	FormatJSON    = "json"
	FormatConsole = "console"
)

// NewLogger returns a logger to w, which it makes safe for concurrent use, and the
// level, by which it can be changed. Every line is one JSON object, or one line for
// people, and holds no character that a terminal would take for an order.
func NewLogger(level, format string, w io.Writer) (*zap.Logger, *zap.AtomicLevel, error) {
	l, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, nil, err
	}
	ec := zap.NewProductionEncoderConfig()
	ec.TimeKey = "time"
	ec.EncodeTime = func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
		zapcore.RFC3339NanoTimeEncoder(t.UTC(), e)
	}
	ec.EncodeDuration = zapcore.SecondsDurationEncoder
	encoder := zapcore.NewJSONEncoder(ec)
	if format == FormatConsole {
		ec.EncodeLevel = zapcore.CapitalLevelEncoder
		ec.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		ec.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewConsoleEncoder(ec)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(plain{w})), l)
	return zap.New(core, zap.AddStacktrace(zapcore.DPanicLevel)), &l, nil
}
