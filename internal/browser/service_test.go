package browser_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/envconf"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
)

const endpoint = "http://browser.cosmos.test:8081"

// world is what a real replica works on: the emulated account and the simulated
// Cluster Service.
type world struct {
	t        *testing.T
	account  *cosmosemu.Server
	clusters *cssim.Server
	address  string // of the operators' port, the same for each start
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, account: cosmosemu.New(cosmosemu.Options{}), clusters: cssim.New(cssim.Options{Speed: 1, Seed: 1}), address: "127.0.0.1:0"}
	on := int32(-1)
	if err := w.account.Create("opfeed",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &on},
	); err != nil {
		t.Fatal(err)
	}
	return w
}

// start runs a replica; stop ends it and gives its leases back.
func (w *world) start() (stop func()) {
	w.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	w.address = l.Addr().String()
	cfg := service.DefaultConfig()
	cfg.Instance, cfg.Listen = "replica-<b>1</b>", ""
	cfg.Cosmos.Endpoint, cfg.Cosmos.Key, cfg.Cosmos.Database = endpoint, envconf.Secret(cosmosemu.WellKnownKey), "opfeed"
	cfg.Cosmos.Locks = "Locks"
	cfg.CS.URL = "http://browser.cs.test"
	s, err := service.New(cfg, service.Deps{Cosmos: inproc.New(w.account), CS: inproc.New(w.clusters), AdminListener: l,
		Log: zaptest.NewLogger(w.t, zaptest.Level(zap.DPanicLevel))})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("stop the replica: %v", err)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

// create writes an operation as a front end does, and what it is about.
func (w *world) create(id, name, state string) (internalID string) {
	w.t.Helper()
	internalID = "/api/aro_hcp/v1alpha1/clusters/" + strings.ReplaceAll(id, "-", "")
	if err := w.clusters.Plant(internalID, state); err != nil {
		w.t.Fatal(err)
	}
	at := time.Now().UTC().Format(time.RFC3339)
	w.write(id, map[string]any{
		"resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses", "ttl": 604800,
		"properties": map[string]any{
			"request": "Create", "status": "Accepted", "internalId": internalID, "startTime": at, "lastTransitionTime": at,
			"operationId": "/subscriptions/" + tenant + "/providers/Microsoft.RedHatOpenShift/locations/x/hcpOperationStatuses/" + id,
			"externalId":  "/subscriptions/" + tenant + "/resourceGroups/g/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/" + name,
		},
	})
	return internalID
}

const tenant = "00000000-0000-0000-0000-000000000001"

func (w *world) write(id string, document map[string]any) {
	w.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(endpoint, key, &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: policy.Transporter(inproc.New(w.account))}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	resources, err := client.NewContainer("opfeed", "Resources")
	if err != nil {
		w.t.Fatal(err)
	}
	document["id"], document["partitionKey"] = id, tenant
	text, err := json.Marshal(document)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := resources.CreateItem(w.t.Context(), azcosmos.NewPartitionKeyString(tenant), text, nil); err != nil {
		w.t.Fatal(err)
	}
}

// TestPageOfTheService is the page as an operator gets it, from a service that
// works: an operation comes and ends, a document is put aside, the service is
// restarted.
func TestPageOfTheService(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	s := &server{address: w.address}
	p := start(t).open(t)
	p.visit(s.url())
	p.until(`document.querySelector("#state-title").textContent === "Ready"`)
	p.shows("#instance", "replica-<b>1</b>")
	p.until(`document.querySelectorAll("#ranges tbody").length === 1 && document.querySelector("#ranges").innerText.includes("listed")`)
	p.shows("#operations-none", "Nothing is pending here")

	// One that waits for ever, with a hostile name; one that ends; one that is no operation.
	const evil = `<img src=x onerror="window.pwned=1">`
	w.create("11111111-0000-0000-0000-000000000001", evil, "installing")
	p.until(rows + ` === 1`)
	p.shows("#operations", evil)
	w.create("11111111-0000-0000-0000-000000000002", "short", "ready")
	p.until(`document.querySelector("#transitions").innerText.includes("short") && document.querySelector("#transitions").innerText.includes("Succeeded")`)
	w.write("11111111-0000-0000-0000-000000000003", map[string]any{
		"resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses", "properties": evil})
	p.until(`document.querySelectorAll("#quarantine tbody").length === 1`)
	p.until(`document.querySelector('[data-tile="requestUnits"] .line').hasAttribute("d")`)
	p.press("/")
	p.write("onerror")
	p.until(`document.querySelector("#operations-note").textContent === "1 of 1 match"`)
	p.nothingWrong(s)
	if eval[bool](p, `"pwned" in window`) {
		t.Error("a script of a document ran")
	}

	stop()
	p.until(lineState + ` === "lost"`)
	w.start()
	p.until(lineState + ` === "live" && document.querySelector("#state-title").textContent === "Ready" && ` + rows + ` === 1`)
	p.shows("#operations", evil)
	for _, wrong := range p.wrong() {
		if !strings.Contains(wrong, "net::ERR_") {
			t.Errorf("trouble in the page: %s", wrong)
		}
	}
}
