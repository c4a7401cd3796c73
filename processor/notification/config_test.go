package notification

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"opfeed/internal/envconf"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigFromTheEnvironment(t *testing.T) {
	type whole struct {
		Notification Config `envPrefix:"NOTIFICATION_"`
	}
	c := whole{DefaultConfig()}
	err := envconf.Load(&c, []string{
		"X_NOTIFICATION_HOSTS=Management.Local.AzureStack.External,*.example.com",
		"X_NOTIFICATION_TIMEOUT=3s", "X_NOTIFICATION_CONCURRENCY=2",
	}, "X_")
	if err != nil || envconf.Validate(&c, "X_") != nil {
		t.Fatal(err)
	}
	if c.Notification.Timeout != 3*time.Second || c.Notification.Concurrency != 2 {
		t.Errorf("have %+v", c.Notification)
	}
	list := newHosts(c.Notification.Hosts)
	for text, want := range map[string]bool{
		"https://management.local.azurestack.external/x": true, "https://a.example.com/x": true,
		"https://example.com/x": false, "https://a.b.example.com/x": false, "https://management.azure.com/x": false,
	} {
		if _, why := list.target(text); (why == "") != want {
			t.Errorf("%s: %q", text, why)
		}
	}
}

func TestValidateReportsAll(t *testing.T) {
	bad := []string{
		"https://a.test", "a.test:443", "a.test/x", "a.test.", ".a.test", "*", "*.", "*.test", "**.a.test", "a.*.test", "localhost",
		"127.0.0.1", "::1", "[::1]", "a b.test", "", "xn--a.test", "ä.test", "u@a.test", strings.Repeat("a.", 130) + "test", strings.Repeat("a", 64) + ".test",
	}
	err := Config{Hosts: append([]string{"fine.test", " *.Fine.test "}, bad...), Timeout: -1}.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(bad)+2 || !strings.HasPrefix(lines[0], "HOSTS: entry 3 ") {
		t.Errorf("%d lines, want %d:\n%v", len(lines), len(bad)+2, err)
	}
	if text := err.Error(); strings.Contains(text, "localhost") || !strings.Contains(text, "\nTIMEOUT: ") || !strings.Contains(text, "\nCONCURRENCY: ") {
		t.Errorf("have %v", err)
	}
	if err := (Config{Timeout: time.Hour, Concurrency: 1e9}).Validate(); err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("have %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	if s, err := New(Config{}, Deps{}); err == nil || s != nil {
		t.Errorf("have %v, %v", s, err)
	}
	registry := prometheus.NewRegistry()
	if _, err := New(DefaultConfig(), Deps{Metrics: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := New(DefaultConfig(), Deps{Metrics: registry}); err == nil {
		t.Error("two senders count in one place")
	}
}

func TestMetricsArePreset(t *testing.T) {
	registry := prometheus.NewRegistry()
	if _, err := New(DefaultConfig(), Deps{Metrics: registry}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 2 || len(families[1].GetMetric()) != len(results) {
		t.Errorf("have %v, %v", families, err)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
