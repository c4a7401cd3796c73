package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/service"
)

// TestRunSendsSpans runs the command until a collector has been told of a step.
func TestRunSendsSpans(t *testing.T) {
	account, on := cosmosemu.New(cosmosemu.Options{}), int32(-1)
	if err := account.Create("db",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
	); err != nil {
		t.Fatal(err)
	}
	cosmos, clusters := httptest.NewServer(account), httptest.NewServer(cssim.New(cssim.Options{}))
	defer cosmos.Close()
	defer clusters.Close()
	const document = `{"id":"op","partitionKey":"sub","resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses",
		"properties":{"request":"Create","status":"Accepted","internalId":"","correlationRequestId":"c0rrelation"}}`
	environ := []string{"OPFEED_COSMOS_ENDPOINT=" + cosmos.URL, "OPFEED_COSMOS_KEY=" + cosmosemu.WellKnownKey, "OPFEED_COSMOS_DATABASE=db",
		"OPFEED_CS_URL=" + clusters.URL, "OPFEED_LISTEN=127.0.0.1:0", "OPFEED_ADMIN_LISTEN=none", "OPFEED_INSTANCE=replica-1"}
	cfg, err := service.LoadForCommand(environ)
	if err != nil {
		t.Fatal(err)
	}
	stores, err := service.Open(t.Context(), cfg, service.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	if _, err := stores.Resources.CreateItem(t.Context(), azcosmos.NewPartitionKeyString("sub"), []byte(document), nil); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "c0rrelation") {
			select {
			case told <- r.URL.Path + " " + string(body):
			default:
			}
		}
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"run"}, io.Discard, io.Discard, append(os.Environ(), environ...))
	}()
	select {
	case spans := <-told:
		for _, text := range []string{"/v1/traces ", "replica-1", "process Resources", "opfeed/processor"} {
			if !strings.Contains(spans, text) {
				t.Errorf("%q is missing in %q", text, spans)
			}
		}
	case <-ctx.Done():
		t.Error("no step was told of in a minute")
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("ended with %d", code)
	}
}
