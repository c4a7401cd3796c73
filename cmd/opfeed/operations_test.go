package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/service"
)

func TestOperationsCommandLine(t *testing.T) {
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"operations help", 0, "usage: opfeed operations COMMAND", ""},
		{"operations -h", 0, "usage: opfeed operations COMMAND", ""},
		{"operations list --help", 0, "usage: opfeed operations COMMAND", ""},
		{"operations", 2, "", "opfeed: a command on operations is missing\n"},
		{"operations delete x", 2, "", "opfeed: unknown command \"delete\" on operations\n"},
		{"operations list x", 2, "", "opfeed: list takes no argument, but there is \"x\"\n"},
		{"operations list --since 1h", 2, "", "flag provided but not defined: -since\n"},
		{"operations show", 2, "", "opfeed: show needs an ID\n"},
		{"operations show --json", 2, "", "opfeed: show needs an ID\n"},
		{"operations show x y", 2, "", "opfeed: show takes one ID, but there is \"y\", too\n"},
		{"operations show x --json -- --json", 2, "", "opfeed: show takes one ID, but there is \"--json\", too\n"},
		{"operations show x --all", 2, "", "flag provided but not defined: -all\n"},
		{"operations retry x --json", 2, "", "flag provided but not defined: -json\n"},
		{"operations retry x --subscription", 2, "", "flag needs an argument: -subscription\n"},
		{"operations list", 2, "", "opfeed: wrong configuration (see opfeed config):\nOPFEED_COSMOS_ENDPOINT: is required\n"},
	} {
		code, stdout, stderr := try(strings.Fields(c.args))
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) ||
			(stdout == "") != (c.stdout == "") || (stderr == "") != (c.stderr == "") ||
			strings.Contains(stderr, "usage: ") && !strings.HasSuffix(stderr, c.stderr) {
			t.Errorf("%s: have %d\nstdout: %.200s\nstderr: %.200s", c.args, code, stdout, stderr)
		}
	}
	// What the commands do not need is not asked for; what they are given is checked.
	_, _, stderr := try([]string{"operations", "list"}, "OPFEED_CS_TIMEOUT=1", "OPFEED_TYPO=1")
	if strings.Contains(stderr, "CS_URL") || !strings.Contains(stderr, "OPFEED_CS_TIMEOUT") || !strings.Contains(stderr, "OPFEED_TYPO") {
		t.Errorf("have %s", stderr)
	}
}

// TestOperationsOverTheNetwork runs the commands as a shell does, against servers
// behind sockets.
func TestOperationsOverTheNetwork(t *testing.T) {
	on := int32(-1)
	account, clusters := cosmosemu.New(cosmosemu.Options{}), cssim.New(cssim.Options{})
	if err := account.Create("db",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
	); err != nil {
		t.Fatal(err)
	}
	cosmos, clusterService := httptest.NewServer(account), httptest.NewServer(clusters)
	defer cosmos.Close()
	defer clusterService.Close()
	environ := []string{"OPFEED_COSMOS_ENDPOINT=" + cosmos.URL, "OPFEED_COSMOS_KEY=" + cosmosemu.WellKnownKey, "OPFEED_COSMOS_DATABASE=db",
		"OPFEED_COSMOS_LOCKS_CONTAINER=NotThere", "OPFEED_PROCESSOR_NAME=mine", "OPFEED_CS_URL=" + clusterService.URL}
	opfeed := func(want int, environ []string, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"operations"}, args...), &out, &errs, environ); code != want || (errs.Len() > 0) != (want != 0) {
			t.Errorf("%v: have %d, want %d\nstdout: %s\nstderr: %s", args, code, want, out.String(), errs.String())
		}
		if strings.Contains(out.String()+errs.String(), cosmosemu.WellKnownKey) {
			t.Errorf("%v shows the key", args)
		}
		return out.String(), errs.String()
	}

	// The record is where a replica of this processor would have put it.
	cfg, err := service.LoadForCommand(environ)
	if err != nil {
		t.Fatal(err)
	}
	stores, err := service.Open(t.Context(), cfg, service.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	const internalID = "/api/aro_hcp/v1alpha1/clusters/h1"
	if err := clusters.Plant(internalID, "ready"); err != nil {
		t.Fatal(err)
	}
	put := func(container *azcosmos.ContainerClient, partition, body string) {
		t.Helper()
		if _, err := container.UpsertItem(t.Context(), azcosmos.NewPartitionKeyString(partition), []byte(body), nil); err != nil {
			t.Fatal(err)
		}
	}
	put(stores.Resources, "s", `{"id":"op","partitionKey":"s","resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses",
		"properties":{"request":"Create","status":"Accepted","internalId":"`+internalID+`"}}`)
	record := stores.LeasePrefix + ".quarantine.0"
	put(stores.Leases, record, `{"id":"`+record+`","kind":"quarantine","documentPartition":"s","documentId":"op","reason":"too heavy","at":"2000-01-01T00:00:00Z"}`)

	if stdout, _ := opfeed(0, environ, "list"); !strings.Contains(stdout, "s             op  Cluster  Create   Accepted  –    "+internalID+"  a change or a retry, quarantined ") {
		t.Errorf("have %s", stdout)
	}
	for _, args := range []string{"show op --json --subscription s", "show --json op --subscription=S", "show --subscription s -json -- op"} {
		stdout, _ := opfeed(0, environ, strings.Fields(args)...)
		var shown struct {
			Quarantine struct{ Reason string }
			Next       struct{ Status string }
			Document   struct{ ID string }
		}
		if err := json.Unmarshal([]byte(stdout), &shown); err != nil || shown.Quarantine.Reason != "too heavy" || shown.Next.Status != "Succeeded" || shown.Document.ID != "op" {
			t.Errorf("%s: have %+v, %v in %s", args, shown, err, stdout)
		}
	}
	if stdout, _ := opfeed(0, environ[:len(environ)-1], "show", "op"); !strings.Contains(stdout, "cluster service  not asked: ") {
		t.Errorf("have %s", stdout)
	}
	if _, stderr := opfeed(1, append(environ, "OPFEED_PROCESSOR_NAME=other"), "retry", "op"); stderr != "opfeed: operation op is not in quarantine: it waits for cluster service\n" {
		t.Errorf("have %s", stderr)
	}
	if stdout, _ := opfeed(0, environ, "retry", "op"); !strings.HasPrefix(stdout, "out of quarantine: op of subscription s (was too heavy, ") {
		t.Errorf("have %s", stdout)
	}
	if stdout, _ := opfeed(0, environ, "list"); !strings.Contains(stdout, "  cluster service\n") {
		t.Errorf("have %s", stdout)
	}
	if _, stderr := opfeed(1, environ, "show", "nobody"); stderr != "opfeed: no operation, and nothing in quarantine, is called nobody\n" {
		t.Errorf("have %s", stderr)
	}
	if _, stderr := opfeed(1, append(environ, "OPFEED_COSMOS_DATABASE=x"), "list"); stderr != "opfeed: cosmos db: database \"x\" (OPFEED_COSMOS_DATABASE) does not exist: create it, or name another\n" {
		t.Errorf("have %s", stderr)
	}
	cosmos.Close()
	if _, stderr := opfeed(1, environ, "list"); !strings.HasPrefix(stderr, "opfeed: cosmos db: dial: ") {
		t.Errorf("have %s", stderr)
	}
}
