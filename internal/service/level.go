package service

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// levels are those of the log.
var levels = []string{"debug", "info", "warn", "error"}

// logLevel is the body of /api/v1/log-level, both ways.
type logLevel struct {
	Level string `json:"level"`
}

func (s *Service) showLevel(w http.ResponseWriter, _ *http.Request) {
	s.writeJSON(w, http.StatusOK, logLevel{s.deps.Level.String()})
}

// setLevel changes the level of the log until the process ends. It wants a content
// type that no form of another site can send.
func (s *Service) setLevel(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		s.refuse(w, http.StatusUnsupportedMediaType, "the content type must be application/json")
		return
	}
	var want logLevel
	const most = 1 << 10
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	d.DisallowUnknownFields()
	err := d.Decode(&want)
	to, errLevel := zapcore.ParseLevel(want.Level)
	if err != nil || errLevel != nil || !slices.Contains(levels, want.Level) {
		s.refuse(w, http.StatusBadRequest, fmt.Sprintf(`want {"level":"…"} with one of %v`, levels))
		return
	}
	s.changeLevel(to)
	s.showLevel(w, r)
}

func (s *Service) changeLevel(to zapcore.Level) {
	s.levelMu.Lock()
	defer s.levelMu.Unlock()
	from := s.deps.Level.Level()
	if from == to {
		return
	}
	// The line must show on whichever side lets more through.
	tell := func() {
		s.log.Log(max(zap.InfoLevel, min(from, to)), "log level changed", zap.Stringer("from", from), zap.Stringer("to", to))
	}
	if to > from {
		tell()
	}
	s.deps.Level.SetLevel(to)
	if to < from {
		tell()
	}
}

// refuse says in JSON what is wrong with a request.
func (s *Service) refuse(w http.ResponseWriter, status int, problem string) {
	s.writeJSON(w, status, struct {
		Error string `json:"error"`
	}{problem})
}
