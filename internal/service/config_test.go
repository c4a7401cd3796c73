package service

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"opfeed/processor/operations"
)

// marker stands for a secret: it must turn up nowhere. It is base64.
const marker = "bWFya2VyLW9mLWEtc2VjcmV0LXRoYXQtbXVzdC1ub3Qtc2hvdw=="

func minimal(more ...string) []string {
	return append([]string{
		"OPFEED_COSMOS_ENDPOINT=https://account.example:443/",
		"OPFEED_COSMOS_DATABASE=db",
		"OPFEED_CS_URL=https://cs.example",
		"PATH=/bin",
	}, more...)
}

func TestLoadMinimal(t *testing.T) {
	c, err := Load(minimal(
		"OPFEED_FEED_INTERVAL=1s", "OPFEED_SWEEP_INTERVAL=3s", "OPFEED_REGISTRY_INTERVAL=4m", "OPFEED_START=2026-01-02T03:04:05Z",
		"OPFEED_LEASE_EXPIRY=20s", "OPFEED_COSMOS_KEY="+marker, "OPFEED_COSMOS_RU_BUDGET=400.5",
		"OPFEED_NOTIFICATION_HOSTS=arm.example,*.arm.example", "OPFEED_NOTIFICATION_CUTOFF=2026-01-02T03:04:05Z",
		"OPFEED_NOTIFICATION_GIVE_UP=2h", "OPFEED_NOTIFICATION_ENABLED=false",
		// What Kubernetes injects for a Service named opfeed.
		"OPFEED_PORT=tcp://10.0.0.1:8080", "OPFEED_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"OPFEED_SERVICE_HOST=10.0.0.1", "OPFEED_SERVICE_PORT_HTTP=8080",
	))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Cosmos.Endpoint, want.Cosmos.Database, want.Cosmos.Key = "https://account.example:443/", "db", marker
	want.CS.URL, want.Cosmos.RUBudget = "https://cs.example", 400.5
	want.Processor.FeedInterval, want.Operations.PollInterval = time.Second, 3*time.Second
	want.Registry.Interval, want.Leases.Expiry = 4*time.Minute, 20*time.Second
	want.Notification.Hosts = []string{"arm.example", "*.arm.example"}
	want.Operations.Outbox = operations.OutboxConfig{GiveUp: 2 * time.Hour, CutOff: operations.CutOff{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	if err := want.Processor.Start.UnmarshalText([]byte("2026-01-02T03:04:05Z")); err != nil {
		t.Fatal(err)
	}
	want.Instance = c.Instance
	if !reflect.DeepEqual(c, want) {
		t.Errorf("have %+v\nwant %+v", c, want)
	}
}

func TestLoadReportsEveryProblem(t *testing.T) {
	_, err := Load([]string{
		"OPFEED_COSMOS_ENDPOINT=account.example", "OPFEED_COSMOS_KEY=no base64 " + marker,
		"OPFEED_COSMOS_DATABASE=a/b", "OPFEED_COSMOS_LEASES_CONTAINER=Resources", "OPFEED_COSMOS_CA_FILE=/absent", "OPFEED_COSMOS_RU_BUDGET=-1",
		"OPFEED_CS_URL=ftp://cs", "OPFEED_FEED_INTERVAL=250", "OPFEED_SWEEP_INTERVAL=-1s", "OPFEED_LEASE_MARGIN=0s",
		"OPFEED_REGISTRY_INTERVAL=0s", "OPFEED_START=yesterday", "OPFEED_PROCESSOR_NAME=a/b", "OPFEED_INSTANCE=a\nb",
		"OPFEED_LOG_LEVEL=loud", "OPFEED_LOG_FORMAT=xml", "OPFEED_LISTEN=8080", "OPFEED_ADMIN_LISTEN=localhost", "OPFEED_PAGE_URL=https://user:" + marker + "@a.example/", "OPFEED_PPROF=perhaps", "OPFEED_SHUTDOWN_TIMEOUT=8s",
		"OPFEED_COSMOS_KYE=" + marker, "OPFEED_POLL_INTERVAL=1s",
		"OPFEED_NOTIFICATION_CUTOFF=" + marker, "OPFEED_NOTIFICATION_GIVE_UP=0s",
	})
	if err == nil {
		t.Fatal("no error")
	}
	var names []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{
		"OPFEED_ADMIN_LISTEN", "OPFEED_COSMOS_CA_FILE", "OPFEED_COSMOS_DATABASE", "OPFEED_COSMOS_ENDPOINT", "OPFEED_COSMOS_KEY", "OPFEED_COSMOS_KYE",
		"OPFEED_COSMOS_LEASES_CONTAINER", "OPFEED_COSMOS_RU_BUDGET", "OPFEED_CS_URL", "OPFEED_FEED_INTERVAL", "OPFEED_INSTANCE", "OPFEED_LEASE_MARGIN",
		"OPFEED_LISTEN", "OPFEED_LOG_FORMAT", "OPFEED_LOG_LEVEL",
		"OPFEED_NOTIFICATION_CUTOFF", "OPFEED_NOTIFICATION_GIVE_UP", "OPFEED_PAGE_URL", "OPFEED_POLL_INTERVAL", "OPFEED_PPROF", "OPFEED_PROCESSOR_NAME",
		"OPFEED_REGISTRY_INTERVAL", "OPFEED_SHUTDOWN_TIMEOUT", "OPFEED_START", "OPFEED_SWEEP_INTERVAL",
	}
	if !slices.Equal(names, want) {
		t.Errorf("have problems of\n%s\nwant\n%s\n\n%v", strings.Join(names, "\n"), strings.Join(want, "\n"), err)
	}
	if strings.Contains(err.Error(), marker) {
		t.Errorf("the secret shows:\n%v", err)
	}
	const nameProblem = `OPFEED_PROCESSOR_NAME: must not be empty, and must have none of ' / \ ? #, and no control characters`
	if !slices.Contains(strings.Split(err.Error(), "\n"), nameProblem) {
		t.Errorf("have\n%v\nwant a line\n%s", err, nameProblem)
	}
}

func TestPorts(t *testing.T) {
	for _, c := range []struct{ cluster, operators, problem string }{
		{"", "", ""},
		{":8080", "127.0.0.1:8081", ""},
		{":8080", "none", ""},
		{"127.0.0.1:8080", "127.0.0.2:8080", ""},
		{"127.0.0.1:8080", "[::1]:8080", ""},
		{":0", ":0", ""},
		{":8080", ":8080", "is the address of"},
		{":8080", "127.0.0.1:8080", "is the address of"},
		{"127.0.0.1:8080", "0.0.0.0:8080", "is the address of"},
		{"LOCALHOST:8080", "localhost:08080", "is the address of"},
		{"localhost:8080", "127.0.0.1:8080", "is the address of"},
		{"[::]:8080", "10.0.0.1:8080", "is the address of"},
		{":8080", "8081", "is not HOST:PORT"},
		{":8080", ":70000", "has a port"},
	} {
		cfg := testConfig(t)
		cfg.Listen, cfg.AdminListen = c.cluster, c.operators
		err := cfg.Validate()
		if (err == nil) != (c.problem == "") || err != nil && !strings.HasPrefix(err.Error(), "OPFEED_ADMIN_LISTEN: "+c.problem) {
			t.Errorf("%s and %s: %v, want %q", c.cluster, c.operators, err, c.problem)
		}
	}
	cfg := testConfig(t)
	cfg.Pprof = true
	if err := cfg.Validate(); err == nil {
		t.Error("profiles are served nowhere, and nobody says so")
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct{ endpoint, key, problem string }{
		{"https://a.example", "", ""},
		{"https://a.example/", "", ""},
		{"http://localhost:8081", "", ""},
		{"http://127.0.0.1:8081", "", ""},
		{"http://[::1]:8081", "", ""},
		{"http://a.example", "YQ==", ""},
		{"http://a.example", "", "over plain http"},
		{"http://localhost.example", "", "over plain http"},
		{"https://user:" + marker + "@a.example", "", "no password"},
		{"https://", "", "has no host"},
		{"https://a.example/x", "", "must end"},
		{"https://a.example?x", "", "must end"},
		{"AccountEndpoint=https://a;AccountKey=" + marker, "", "is not a URL"},
		{marker, "", "must begin with"},
		{"http://[", "", "is not a URL"},
		{"", "", "is required"},
	} {
		cosmos := Cosmos{Endpoint: c.endpoint, Key: "", Database: "d", Resources: "r", Leases: "l"}
		if c.key != "" {
			cosmos.Key = marker
		}
		err := cosmos.Validate()
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s: %v", c.endpoint, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s: have %v, want %q", c.endpoint, err, c.problem)
		case err != nil && strings.Contains(err.Error(), marker):
			t.Errorf("%s: the secret shows: %v", c.endpoint, err)
		}
	}
}

func TestNoConfigurationShowsSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(marker+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(minimal("OPFEED_COSMOS_KEY_FILE="+path, "OPFEED_CS_AUTH=client", "OPFEED_CS_CLIENT_ID=id",
		"OPFEED_CS_CLIENT_SECRET="+marker))
	if err != nil {
		t.Fatal(err)
	}
	if c.Cosmos.Key.Reveal() != marker || c.CS.ClientSecret.Reveal() != marker {
		t.Fatal("the secrets were not read")
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%+v", &c), string(text)} {
		if strings.Contains(shown, marker) {
			t.Errorf("the secret shows in %s", shown)
		}
	}
	// Every secret, in its place, beside every other problem that it may cause.
	for _, v := range Variables() {
		if !v.Secret {
			continue
		}
		for _, auth := range []string{"none", "token", "client", "odd"} {
			_, err := Load(minimal(v.Name+"="+marker, v.Name+"_FILE="+marker, "OPFEED_CS_AUTH="+auth))
			if err == nil || strings.Contains(err.Error(), marker) {
				t.Errorf("%s: have %v", v.Name, err)
			}
			if _, err := Load(minimal(v.Name+"="+marker, "OPFEED_CS_AUTH="+auth)); err != nil && strings.Contains(err.Error(), marker) {
				t.Errorf("%s: have %v", v.Name, err)
			}
		}
	}
}

func TestVariables(t *testing.T) {
	described := map[string]string{}
	for _, v := range Variables() {
		described[v.Name] = v.Default
		if v.Help == "" || v.Type == "" {
			t.Errorf("%s has no help or no type", v.Name)
		}
	}
	for name, preset := range map[string]string{
		"OPFEED_COSMOS_ENDPOINT": "", "OPFEED_COSMOS_KEY": "", "OPFEED_COSMOS_KEY_FILE": "", "OPFEED_COSMOS_DATABASE": "",
		"OPFEED_COSMOS_RESOURCES_CONTAINER": "Resources", "OPFEED_COSMOS_LEASES_CONTAINER": "Leases",
		"OPFEED_COSMOS_LOCKS_CONTAINER": "", "OPFEED_COSMOS_PARTITION_KEYS_CONTAINER": "", "OPFEED_COSMOS_CA_FILE": "",
		"OPFEED_COSMOS_BILLING_CONTAINER": "", "OPFEED_LOCATION": "",
		"OPFEED_CS_URL": "", "OPFEED_FEED_INTERVAL": "250ms", "OPFEED_SWEEP_INTERVAL": "10s", "OPFEED_LIST_INTERVAL": "1m",
		"OPFEED_REGISTRY_INTERVAL": "10m", "OPFEED_LEASE_EXPIRY": "10s", "OPFEED_PROCESSOR_NAME": "opfeed",
		"OPFEED_START": "now", "OPFEED_INSTANCE": "host name and a random suffix", "OPFEED_LOG_LEVEL": "info",
		"OPFEED_LOG_FORMAT": "json", "OPFEED_LISTEN": ":8080", "OPFEED_SHUTDOWN_TIMEOUT": "12s",
	} {
		if have, ok := described[name]; !ok || have != preset {
			t.Errorf("%s: have default %q (described: %t), want %q", name, have, ok, preset)
		}
	}
}

// TestBillingNeedsALocation: it is a part of every document.
func TestBillingNeedsALocation(t *testing.T) {
	_, err := Load(minimal("OPFEED_COSMOS_BILLING_CONTAINER=Billing"))
	if err == nil || err.Error() != "OPFEED_LOCATION: is required with OPFEED_COSMOS_BILLING_CONTAINER" {
		t.Errorf("have %v", err)
	}
	if c, err := Load(minimal("OPFEED_COSMOS_BILLING_CONTAINER=Billing", "OPFEED_LOCATION=westeurope")); err != nil ||
		c.Cosmos.Billing != "Billing" || c.Location != "westeurope" {
		t.Errorf("have %v, %v", c, err)
	}
	if _, err := Load(minimal("OPFEED_COSMOS_BILLING_CONTAINER=Leases", "OPFEED_LOCATION=westeurope")); err == nil {
		t.Error("the leases' container is taken")
	}
}

func TestInstancesDiffer(t *testing.T) {
	if a, b := DefaultConfig().Instance, DefaultConfig().Instance; a == b || a == "" {
		t.Errorf("have %q and %q", a, b)
	}
}
