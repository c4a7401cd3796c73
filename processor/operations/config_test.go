package operations

import (
	"strings"
	"testing"
	"time"

	"opfeed/internal/envconf"
)

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	if err := DefaultRegistryConfig().Validate(); err != nil {
		t.Error(err)
	}
	var cfg Config
	if err := cfg.Validate(); err == nil || strings.Count(err.Error(), "\n") < 8 {
		t.Errorf("have %v", err)
	}
	cfg = DefaultConfig()
	if err := envconf.Load(&cfg, []string{"X_POLL_INTERVAL=3s", "X_LOCK_TTL=1500ms"}, "X_"); err != nil || cfg.PollInterval != 3*time.Second {
		t.Errorf("have %+v, %v", cfg, err)
	}
	if err := envconf.Validate(&cfg, "X_"); err == nil || !strings.HasPrefix(err.Error(), "X_LOCK_TTL: ") {
		t.Errorf("have %v", err)
	}
}
