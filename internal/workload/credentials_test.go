package workload

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCredentialOperationsAreChecked holds each way that an operation on credentials
// may end against each status that may be stored then.
func TestCredentialOperationsAreChecked(t *testing.T) {
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	created := mutation{Kind: "create", At: noon}
	issued := mutation{Kind: "create", At: noon, Outcome: "issued", OutcomeAt: at(5)}
	revoked := mutation{Kind: "revoke", At: at(8), Outcome: "revoked", OutcomeAt: at(12)}
	for name, c := range map[string]struct {
		o     object
		right []string
	}{
		"issued":                       {object{State: "issued", Mutations: []mutation{issued}}, []string{"Succeeded"}},
		"failed":                       {object{State: "failed", Mutations: []mutation{{Kind: "create", At: noon, Outcome: "failed", OutcomeAt: at(5)}}}, []string{"Failed"}},
		"not yet":                      {object{State: "created", Mutations: []mutation{created}}, nil},
		"revoked before it was issued": {object{State: "revoked", Mutations: []mutation{created, revoked}}, []string{"Failed"}},
		"being revoked":                {object{State: "awaiting_revocation", Mutations: []mutation{created, {Kind: "revoke", At: at(8)}}}, nil},
		// Who had not looked in between never saw it issued.
		"issued, then revoked":        {object{State: "revoked", Mutations: []mutation{issued, revoked}}, []string{"Succeeded", "Failed"}},
		"issued, then revoked later":  {object{State: "revoked", Mutations: []mutation{issued, {Kind: "revoke", At: at(30), Outcome: "revoked", OutcomeAt: at(40)}}}, []string{"Succeeded"}},
		"issued, then expired":        {object{State: "expired", Expires: at(15), Mutations: []mutation{issued}}, []string{"Succeeded", "Failed"}},
		"issued, then expired, later": {object{State: "expired", Expires: at(60), Mutations: []mutation{issued}}, []string{"Succeeded"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []string{"Succeeded", "Failed", "Canceled"} {
				x := goodEnding(Credential, Metadata, RequestCredential, "issued")
				x.end(status)
				got := check(x.e, false, x.f, &c.o)
				if right := slices.Contains(c.right, status); right != (len(got) == 0) {
					t.Errorf("%s: %q", status, got)
				}
			}
		})
	}
}

// TestRevocationIsOfAllCredentials makes one outcome of those of a cluster.
func TestRevocationIsOfAllCredentials(t *testing.T) {
	revoked := func(seconds int, outcome string) object {
		end := noon.Add(time.Duration(seconds) * time.Second)
		return object{State: outcome, Mutations: []mutation{{Kind: "planted"}, {Kind: "revoke", At: noon, Outcome: outcome, OutcomeAt: end,
			FirstRead: map[string]time.Time{serviceAgent: end.Add(-time.Second)}}}}
	}
	pending := object{State: "awaiting_revocation", Mutations: []mutation{{Kind: "planted"}, {Kind: "revoke", At: noon}}}
	for name, c := range map[string]struct {
		all   []object
		right string // terminal status; "" for none
		at    int
	}{
		"none":                    {nil, "Succeeded", 0},
		"all revoked":             {[]object{revoked(5, "revoked"), revoked(9, "revoked"), {State: "expired"}}, "Succeeded", 9},
		"one could not be":        {[]object{revoked(5, "failed"), revoked(9, "revoked")}, "Failed", 9},
		"one was never issued":    {[]object{revoked(9, "revoked"), {State: "failed", Mutations: []mutation{{Kind: "create", Outcome: "failed"}}}}, "Failed", 9},
		"one is not yet":          {[]object{revoked(5, "revoked"), pending}, "", 0},
		"one failed, one not yet": {[]object{revoked(5, "failed"), pending}, "", 0},
		"one can still be used":   {[]object{revoked(5, "revoked"), {State: "issued"}}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := goodEnding(Cluster, Metadata, RevokeCredentials, "")
			all := map[string]*object{}
			for i, o := range c.all {
				credential := x.e.Target
				credential.Kind, credential.ChildID = Credential, "user-"+string(rune('a'+i))
				all[credential.Object()] = &o
			}
			other := pending
			all[strings.Replace(Target{Kind: Credential, ClusterID: "other", ChildID: "a"}.Object(), "x", "y", 1)] = &other
			for _, status := range []string{"Succeeded", "Failed", "Canceled"} {
				x.end(status)
				got := check(x.e, true, x.f, objectOf(x.e, all))
				if (c.right == status) != (len(got) == 0) {
					t.Errorf("%s: %q", status, got)
				}
			}
			if m := revocation(x.e, all).Mutations[0]; c.at > 0 && !m.OutcomeAt.Equal(noon.Add(time.Duration(c.at)*time.Second)) {
				t.Errorf("ended at %v", m.OutcomeAt)
			}
		})
	}
}

// TestRevocationLeavesItsClusterAlone, but for its own name in it.
func TestRevocationLeavesItsClusterAlone(t *testing.T) {
	for _, g := range []Generation{Flat, Envelope, Metadata} {
		for name, tamper := range map[string]func(*ending){
			"as it should be": func(*ending) {},
			"state changed":   func(x *ending) { put(x.f.Resource, x.e.Target.places().State, "Deleting") },
			"document gone":   func(x *ending) { x.f.Resource = nil },
			"name left": func(x *ending) {
				put(x.f.Resource, []string{"properties", "serviceProviderProperties", "revokeCredentialsOperationId"}, "x")
			},
			"property lost": func(x *ending) { delete(x.f.Resource["properties"].(map[string]any), unknownProperty) },
		} {
			x := goodEnding(Cluster, g, RevokeCredentials, "")
			x.end("Succeeded")
			tamper(x)
			got := check(x.e, true, x.f, revocation(x.e, nil))
			if (name == "as it should be") != (len(got) == 0) {
				t.Errorf("%v, %s: %q", g, name, got)
			}
		}
	}
}

// end gives the operation a terminal status.
func (x *ending) end(status string) {
	x.e.Status = status
	x.set("properties/status", status)
	delete(x.f.Operation["properties"].(map[string]any), "error")
	if status == "Failed" {
		x.set("properties/error", map[string]any{"code": "InternalServerError", "message": "It failed."})
	}
}
