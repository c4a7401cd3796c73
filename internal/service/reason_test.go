package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"opfeed/internal/envconf"
)

func TestReason(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 4711}, Err: syscall.ECONNREFUSED}
	for want, err := range map[string]error{
		"answered 401 Unauthorized":    fmt.Errorf("read: %w", &azcore.ResponseError{StatusCode: http.StatusUnauthorized, ErrorCode: "x"}),
		"no answer in time":            &url.Error{Op: "Get", URL: "https://a", Err: context.DeadlineExceeded},
		"dial: connection refused":     &url.Error{Op: "Get", URL: "https://a", Err: refused},
		"host not found: a.example":    &net.OpError{Op: "dial", Err: &net.DNSError{Name: "a.example", Err: "no such host"}},
		"time to live":                 fmt.Errorf("open: %w", &setupError{"time to live"}),
		"first line":                   errors.New("first line\nsecond line"),
		strings.Repeat("x", 200) + "…": errors.New(strings.Repeat("x", 300)),
	} {
		if have := reason(err); have != want {
			t.Errorf("have %q, want %q", have, want)
		}
	}
}

func TestReadinessLogsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		rd, err := newReadiness(zap.New(core), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := rd.Conditions(); ok {
			t.Fatal("ready before anything is known")
		}
		expect := func(lines int, after string) {
			t.Helper()
			if n := logs.Len(); n != lines {
				t.Errorf("%s: %d lines, want %d: %v", after, n, lines, logs.All())
			}
		}
		for range 60 { // alternating reasons, within a minute
			rd.Set(conditionCosmos, errors.New("absent"))
			rd.Set(conditionCosmos, errors.New("refuses"))
			pause(t.Context(), time.Second)
		}
		expect(2, "a minute of trouble") // at once, and after 30 s
		pause(t.Context(), time.Minute)
		list, _ := rd.Conditions()
		if age := time.Since(list[0].Since); list[0].Reason != "refuses" || age < 2*time.Minute {
			t.Errorf("have %+v, since %v", list[0], age)
		}
		for range 3 {
			rd.Set(conditionCosmos, nil)
		}
		expect(3, "recovery")
		for range 3 {
			rd.Set(conditionCosmos, errors.New("absent"))
		}
		expect(4, "relapse")
		rd.Set(conditionCosmos, nil)
		rd.Set(conditionLeases, nil)
		rd.Set(conditionFeed, nil)
		rd.Set(conditionClusterService, nil)
		if list, ok := rd.Conditions(); !ok {
			t.Errorf("not ready: %v", list)
		}
		rd.Set(conditionRunning, errors.New("shutting down"))
		if list, ok := rd.Conditions(); ok || list[4].Reason != "shutting down" {
			t.Errorf("still ready: %v", list)
		}
	})
}

func TestNewLogger(t *testing.T) {
	var b bytes.Buffer
	log, level, err := NewLogger("warn", FormatJSON, &b)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("too little")
	level.SetLevel(zap.ErrorLevel)
	log.Warn("too little, too")
	level.SetLevel(zap.WarnLevel)
	log.Warn("constant message", zap.Duration("after", 1500*time.Millisecond), zap.Any("key", envconf.Secret(marker)))
	var line struct {
		Level, Msg, Key string
		Time            time.Time
		After           float64
	}
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, &b)
	}
	if line.Level != "warn" || line.Msg != "constant message" || line.After != 1.5 || line.Key != "[redacted]" ||
		line.Time.Location() != time.UTC || time.Since(line.Time) > time.Minute {
		t.Errorf("have %s", &b)
	}
	b.Reset()
	if log, _, err = NewLogger("debug", FormatConsole, &b); err != nil {
		t.Fatal(err)
	}
	log.Debug("for people")
	if !strings.Contains(b.String(), "DEBUG\tfor people") {
		t.Errorf("have %s", &b)
	}
	if _, _, err := NewLogger("loud", FormatJSON, &b); err == nil {
		t.Error("an unknown level is no error")
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	for d := firstWait; d <= longestWait; d *= 2 {
		for range 100 {
			if have := jitter(d); have < d/2 || have > d {
				t.Fatalf("jitter(%v) = %v", d, have)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b backoff
	for range 10 {
		if b.wait(ctx) {
			t.Fatal("waited although the context has ended")
		}
	}
	if b.span != longestWait {
		t.Errorf("span %v, want %v", b.span, longestWait)
	}
}
