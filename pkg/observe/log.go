// Package observe is how a process lets itself be watched: a logger, counters for Prometheus, and a small HTTP server
// for both the counters and its health. There are no globals; what a service needs is handed to it, and a nil *Counters
// counts nothing, so tests can leave it out.
package observe

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogOptions say how a process logs.
type LogOptions struct {
	// Named in every line.
	Service string
	// debug, info, warn or error; empty: info.
	Level string
	// Where to; nil: standard error. On a terminal lines are for people, else each is a JSON object.
	Out io.Writer
	// No colours on a terminal (NO_COLOR).
	NoColor bool
}

// NewLogger makes a process's logger. Nothing is sampled away: a refusal that was not logged never happened.
func NewLogger(o LogOptions) (*zap.Logger, error) {
	level := zapcore.InfoLevel
	if o.Level != "" {
		var err error
		if level, err = zapcore.ParseLevel(o.Level); err != nil || level > zapcore.ErrorLevel {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", o.Level)
		}
	}
	out := o.Out
	if out == nil {
		out = os.Stderr
	}
	e := zap.NewProductionEncoderConfig()
	e.TimeKey, e.MessageKey = "time", "message"
	e.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	e.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	if terminal(out) {
		e.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		e.EncodeLevel = zapcore.CapitalLevelEncoder
		if !o.NoColor {
			e.EncodeLevel = zapcore.CapitalColorLevelEncoder
		}
		encoder = zapcore.NewConsoleEncoder(e)
	} else {
		encoder = zapcore.NewJSONEncoder(e)
	}
	log := zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), level),
		zap.ErrorOutput(zapcore.Lock(os.Stderr)))
	if o.Service != "" {
		log = log.With(zap.String("service", o.Service))
	}
	return log, nil
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
