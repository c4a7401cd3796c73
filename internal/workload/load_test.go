package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadedDocuments(t *testing.T) {
	dir := t.TempDir()
	operation := func(id, status, request, internalID string) string {
		return fmt.Sprintf(`{"id":%q,"partitionKey":"s","_etag":"x","resourceType":"microsoft.redhatopenshift/hcpoperationstatuses",
			"properties":{"status":%q,"request":%q,"internalId":%q,"operationId":"/x/%s"}}`, id, status, request, internalID, id)
	}
	files := map[string]string{
		"a-first.json":      operation("one", "Accepted", "Create", "/api/clusters_mgmt/v1/clusters/A"),
		"b-second.json":     operation("one", "Succeeded", "Create", "/api/clusters_mgmt/v1/clusters/A"),
		"c-pending.json":    operation("two", "Accepted", "Update", "/api/aro_hcp/v1alpha1/clusters/b/node_pools/c"),
		"d-again.json":      operation("three", "Accepted", "Update", "/API/clusters_mgmt/v1/clusters/b/node_pools/c"),
		"e-credential.json": operation("four", "Accepted", "RequestCredential", "/api/clusters_mgmt/v1/clusters/b"),
		"e-deleted.json":    strings.Replace(operation("five", "Deleting", "Delete", "/api/clusters_mgmt/v1/clusters/b"), "{", `{"deletionTimestamp":"2026-03-04T12:00:20Z",`, 1),
		"e-orphan.json": `{"id":"r","partitionKey":"s","resourceType":"Microsoft.RedHatOpenShift/hcpOpenShiftClusters",
			"properties":{"provisioningState":"Accepted","activeOperationId":"nobody"}}`,
		"e-other-kind.json": operation("six", "Accepted", "Create", "/api/clusters_mgmt/v1/clusters/b/break_glass_credentials/c"),
		"e-nonsense.json":   operation("seven", "Accepted", "Create", "/api/clusters_mgmt/v1/clusters/../c"),
		"f-broken.json":     `{"id":`,
		"g-nowhere.json":    `{"id":"x"}`,
		"i-user.json":       operation("eight", "Accepted", "requestcredential", "/API/clusters_mgmt/v1/clusters/b/break_glass_credentials/c"),
		"j-revoke.json":     operation("nine", "Accepted", "RevokeCredentials", "/api/aro_hcp/v1alpha1/clusters/b"),
		"h-other.json":      `{"id":"y","partitionKey":"s","resourceType":"other"}`,
	}
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var words []string
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	l := &loaded{documents: map[key]loadedDocument{}}
	for _, name := range []string{"a-first", "b-second", "c-pending", "d-again", "e-credential", "e-deleted", "e-orphan", "e-other-kind", "e-nonsense", "f-broken", "g-nowhere", "h-other", "i-user", "j-revoke"} {
		if err := l.read(filepath.Join(dir, name+".json"), say); err != nil {
			t.Fatal(err)
		}
	}
	es := l.operations(say)
	said := strings.Join(words, "\n")
	for _, want := range []string{
		"b-second.json has the partition and id of a-first.json", "f-broken.json is no JSON object",
		"g-nowhere.json has no id", "e-credential.json is left alone: its request is RequestCredential, and it is about a Cluster",
		"e-deleted.json is not followed: it is deleted", "e-other-kind.json is left alone: its request is Create, and it is about a BreakGlassCredential",
		"e-nonsense.json is not followed: its internalId is",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("did not say %q, but\n%s", want, said)
		}
	}
	// Left alone are the credential's request and the operation of another kind:
	// what is deleted, orphaned or not readable is none of the service's pending.
	if len(es) != 5 || l.leftAlone != 2 || len(l.documents) != 11 {
		t.Fatalf("%d operations, %d left alone, %d documents", len(es), l.leftAlone, len(l.documents))
	}
	one, two, three := es[0], es[1], es[2]
	if one.Status != "Succeeded" || one.Terminal.IsZero() {
		t.Errorf("of colliding documents the last must count: %+v", one)
	}
	if two.Object != three.Object || two.Shared || !three.Shared {
		t.Errorf("operations on one object: %q %v, %q %v", two.Object, two.Shared, three.Object, three.Shared)
	}
	if es[3].Request != RequestCredential || es[4].Request != RevokeCredentials {
		t.Errorf("%v of %s, %v of %s", es[3].Request, es[3].Object, es[4].Request, es[4].Object)
	}
	if _, system := one.Before["_etag"]; system {
		t.Error("system properties were kept")
	}
}

func TestLifeFor(t *testing.T) {
	for _, c := range []struct {
		object string
		r      Request
		want   string
	}{
		{"/api/aro_hcp/v1alpha1/clusters/a", Create, "installing"},
		{"/api/aro_hcp/v1alpha1/clusters/a/node_pools/b", Update, "updating"},
		{"/api/aro_hcp/v1alpha1/clusters/a/external_auth_config/external_auths/b", Update, "ready"},
		{"/api/aro_hcp/v1alpha1/clusters/a/external_auth_config/external_auths/b", Delete, "uninstalling"},
		{"/api/clusters_mgmt/v1/clusters/a/break_glass_credentials/b", RequestCredential, "created"},
		{"/api/aro_hcp/v1alpha1/clusters/a", RevokeCredentials, "ready"},
	} {
		if got := lifeFor(c.object, c.r); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.r, c.object, got, c.want)
		}
	}
}
