package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Handler serves what is for the cluster, for callers that bring their own server:
// the probes, which wait for nothing, and the metrics.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		Registry:            s.registry,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	}))
	return guarded(mux)
}

func (s *Service) healthz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok\n"
	if s.wedged(r.Context()) {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = fmt.Sprintf("stuck: the engine has not told its state for %s\n", wedgedAfter)
	}
	_, _ = w.Write([]byte(text))
}

func (s *Service) readyz(w http.ResponseWriter, _ *http.Request) {
	conditions, ok := s.readiness.Conditions()
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	s.writeJSON(w, status, struct {
		Ready      bool        `json:"ready"`
		Conditions []Condition `json:"conditions"`
	}{ok, conditions})
}

// writeJSON writes what people read with curl.
func (s *Service) writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	s.write(w, status, body, err)
}

// writeList writes what may be long.
func (s *Service) writeList(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	s.write(w, http.StatusOK, body, err)
}

func (s *Service) write(w http.ResponseWriter, status int, body []byte, err error) {
	if err != nil {
		s.log.Error("cannot write a reply", zap.Error(err))
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) //nolint:gosec // JSON, which says so and is not sniffed; the client may be gone
}

// port is one address that is served.
type port struct {
	name     string // in the log
	listener net.Listener
	server   *http.Server
	hangUp   context.CancelFunc // ends the replies that do not end by themselves
}

// ports opens the sockets, but for those that are not wanted or were given. All of
// them are closed if one cannot be had.
func (s *Service) ports(ctx context.Context) (list []port, err error) {
	defer func() {
		if err != nil {
			for _, p := range list {
				_ = p.listener.Close()
			}
		}
	}()
	for _, want := range []struct {
		name, address, variable string
		given                   net.Listener
		handler                 func() http.Handler
		longest                 time.Duration // that writing one reply may take
	}{
		{"cluster", s.cfg.Listen, "LISTEN", s.deps.Listener, s.Handler, 30 * time.Second},
		{"operators", s.cfg.AdminListen, "ADMIN_LISTEN", s.deps.AdminListener, s.AdminHandler, 2 * time.Minute},
	} {
		l := want.given
		if l == nil {
			if want.address == "" || want.address == listenNowhere {
				continue
			}
			var lc net.ListenConfig
			if l, err = lc.Listen(ctx, "tcp", want.address); err != nil {
				return list, fmt.Errorf("listen for the %s (%s%s): %w", want.name, Prefix, want.variable, err)
			}
		}
		base, hangUp := context.WithCancel(context.WithoutCancel(ctx))
		list = append(list, port{want.name, l, &http.Server{
			Handler:           want.handler(),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      want.longest,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          zap.NewStdLog(s.log.Named("http")),
			BaseContext:       func(net.Listener) context.Context { return base },
		}, hangUp})
	}
	return list, nil
}

// close lets replies under way end, but not for long: probes are short, and leases
// have been given back already.
func (s *Service) close(ctx context.Context, p port) {
	p.hangUp()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := p.server.Shutdown(ctx); err != nil {
		s.log.Info("connections closed before their end", zap.Error(errors.Join(err, p.server.Close())))
	}
}
