package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/service"
)

func TestLeasesCommandLine(t *testing.T) {
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"leases help", 0, "usage: opfeed leases COMMAND", ""},
		{"leases -h", 0, "usage: opfeed leases COMMAND", ""},
		{"leases reset --help", 0, "usage: opfeed leases COMMAND", ""},
		{"lag -h", 0, "usage: opfeed COMMAND", ""},
		{"leases", 2, "", "opfeed: a command on leases is missing\n"},
		{"leases delete 0", 2, "", "opfeed: unknown command \"delete\" on leases\n"},
		{"leases list 0", 2, "", "opfeed: list takes no argument, but there is \"0\"\n"},
		{"leases list --yes", 2, "", "flag provided but not defined: -yes\n"},
		{"leases release", 2, "", "opfeed: release needs a TOKEN, or --all\n"},
		{"leases release --yes", 2, "", "opfeed: release needs a TOKEN, or --all\n"},
		{"leases release 0 1", 2, "", "opfeed: release takes one TOKEN, but there is \"1\", too\n"},
		{"leases release 0 --all", 2, "", "opfeed: release takes a TOKEN or --all, but there is \"0\", too\n"},
		{"leases release 0 --to now", 2, "", "flag provided but not defined: -to\n"},
		{"leases release -FF", 2, "", "flag provided but not defined: -FF\n"},
		{"leases reset 0", 2, "", "opfeed: reset needs --to POSITION\n"},
		{"leases reset 0 --to then", 2, "", "opfeed: the place to reset to is beginning, now or a time like 2006-01-02T15:04:05Z\n"},
		{"leases reset 0 --to 1066-10-14T00:00:00Z", 2, "", "opfeed: the time to reset to is before all changes or beyond all times: name beginning, or another\n"},
		{"lag 0", 2, "", "opfeed: lag takes no argument, but there is \"0\"\n"},
		{"lag --yes", 2, "", "flag provided but not defined: -yes\n"},
		{"lag", 2, "", "opfeed: wrong configuration (see opfeed config):\nOPFEED_COSMOS_ENDPOINT: is required\n"},
		{"leases reset --to beginning --yes --force -- -FF", 2, "", "opfeed: wrong configuration (see opfeed config):\n"},
	} {
		code, stdout, stderr := try(strings.Fields(c.args))
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) ||
			(stdout == "") != (c.stdout == "") || (stderr == "") != (c.stderr == "") ||
			strings.Contains(stderr, "usage: ") && !strings.HasSuffix(stderr, c.stderr) {
			t.Errorf("%s: have %d\nstdout: %.200s\nstderr: %.200s", c.args, code, stdout, stderr)
		}
	}
}

// TestLeasesOverTheNetwork runs the commands as a shell does, against a server
// behind a socket, with nothing of Cluster Service configured.
func TestLeasesOverTheNetwork(t *testing.T) {
	on := int32(-1)
	account := cosmosemu.New(cosmosemu.Options{})
	if err := account.Create("db",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
	); err != nil {
		t.Fatal(err)
	}
	cosmos := httptest.NewServer(account)
	defer cosmos.Close()
	environ := []string{"OPFEED_COSMOS_ENDPOINT=" + cosmos.URL, "OPFEED_COSMOS_KEY=" + cosmosemu.WellKnownKey, "OPFEED_COSMOS_DATABASE=db"}
	opfeed := func(want int, args string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &out, &errs, environ); code != want || (errs.Len() > 0) != (want != 0) {
			t.Errorf("%s: have %d, want %d\nstdout: %s\nstderr: %s", args, code, want, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	cfg, err := service.LoadForCommand(environ)
	if err != nil {
		t.Fatal(err)
	}
	stores, err := service.Open(t.Context(), cfg, service.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	put := func(container *azcosmos.ContainerClient, partition, body string) {
		t.Helper()
		if _, err := container.UpsertItem(t.Context(), azcosmos.NewPartitionKeyString(partition), []byte(body), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		put(stores.Resources, "s", `{"id":"`+id+`","partitionKey":"s"}`)
	}
	id := stores.LeasePrefix + "..-FF"
	put(stores.Leases, id, `{"id":"`+id+`","version":1,"LeaseToken":"-FF","FeedRange":{"Range":{"min":"","max":"FF"}},"Owner":"functions","ContinuationToken":"\"1\"","properties":{}}`)

	if stdout, _ := opfeed(0, "leases list"); !strings.Contains(stdout, "-FF    00–FF  1  functions  0      1         2    ") || !strings.Contains(stdout, "s   live\n") {
		t.Errorf("have\n%s", stdout)
	}
	if stdout, _ := opfeed(0, "lag"); !strings.HasSuffix(stdout, "\ntotal 2 transactions\n") {
		t.Errorf("have\n%s", stdout)
	}
	stdout, _ := opfeed(0, "lag --json")
	var lag struct {
		Leases []struct{ Lag *int64 }
		Total  int64
	}
	if err := json.Unmarshal([]byte(stdout), &lag); err != nil || lag.Total != 2 || len(lag.Leases) != 1 || *lag.Leases[0].Lag != 2 {
		t.Errorf("have %v in\n%s", err, stdout)
	}
	if _, stderr := opfeed(1, "leases release --yes -- -FF"); !strings.HasPrefix(stderr, "opfeed: somebody is at work there, nothing was changed") {
		t.Errorf("have %s", stderr)
	}
	if stdout, _ := opfeed(0, "leases reset --all --force --to now"); stdout != "lease -FF: would be freed, it was owned by functions; position: 1 → 3\nnothing was changed: add --yes to do this\n" {
		t.Errorf("have %s", stdout)
	}
	if stdout, _ := opfeed(0, "leases reset --force --to beginning --yes -- -FF"); stdout != "lease -FF: freed, it was owned by functions; position: 1 → the beginning\n" {
		t.Errorf("have %s", stdout)
	}
	if stdout, _ := opfeed(0, "leases list --no-lag"); !strings.Contains(stdout, "-FF    00–FF  1  –      1      beginning  ") || strings.Contains(stdout, "LAG") {
		t.Errorf("have\n%s", stdout)
	}
	if _, stderr := opfeed(1, "leases release 0 --yes"); stderr != "opfeed: no lease has the token 0\n" {
		t.Errorf("have %s", stderr)
	}
	cosmos.Close()
	if _, stderr := opfeed(1, "lag"); !strings.HasPrefix(stderr, "opfeed: cosmos db: dial: ") {
		t.Errorf("have %s", stderr)
	}
}
