package operations

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/processor/dispatch"
)

const credentialID = clusterID + "/break_glass_credentials/b1"

func requestDoc(id string) doc {
	d := operationDoc(id, RequestCredential)
	props(d)["internalId"] = credentialID
	return d
}

// living replaces the simulator by one in which time passes for credentials.
func (r *rig) living(o cssim.Options) {
	r.t.Helper()
	r.sim = cssim.New(o)
	r.service.mu.Lock()
	defer r.service.mu.Unlock()
	r.service.next = transportTo(r.sim)
}

func TestRequestCredential(t *testing.T) {
	for state, want := range map[string]string{
		"created": Succeeded, "issued": Succeeded, "failed": Failed, "revoked": Failed, "expired": Failed,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.plant(clusterID, "ready")
			r.plant(credentialID, state)
			r.put(requestDoc("op-1"))
			cluster := clusterDoc("r1", "")
			r.put(cluster)
			before := string(r.get("r1"))
			last, steps := r.drive(dispatch.Change{Key: key("op-1")})
			if last.Label != want {
				t.Errorf("%s: ended as %s", state, last.Label)
			}
			if state == "created" && steps[0].Label != Provisioning {
				t.Errorf("first became %s", steps[0].Label)
			}
			if after := string(r.get("r1")); after != before {
				t.Errorf("the cluster was written: %s", after)
			}
			if all := r.get("op-1"); strings.Contains(string(all), cssim.FakeSecret) {
				t.Error("the kubeconfig is in the document")
			}
		})
	}
}

// TestLesson11RevocationIsNotEndedEarly holds that nothing ends a revocation but
// that all credentials are over, or that one of them failed: the predecessor took a
// state that it did not handle for success, and looked at no list but the first
// page's worth of those that had not expired.
func TestLesson11RevocationIsNotEndedEarly(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			minutes := cssim.Between{Min: time.Minute, Max: 3 * time.Minute}
			r.living(cssim.Options{Seed: seed, Durations: cssim.Durations{CredentialRevoke: minutes}})
			r.plant(clusterID, "ready")
			for _, c := range []string{"a", "b", "c"} {
				r.plant(clusterID+"/break_glass_credentials/"+c, "issued")
			}
			time.Sleep(time.Hour)
			r.send(http.MethodDelete, clusterID+"/break_glass_credentials")
			d := operationDoc("op-1", RevokeCredentials)
			props(d)["status"] = Deleting
			r.put(d)
			// With more than a page of them, and for a while all in a state that nobody knows.
			for i := range 110 {
				r.plant(fmt.Sprintf("%s/break_glass_credentials/m%03d", clusterID, i), "revoked")
			}
			odd := cssim.Fault{Name: "odd", Match: fault.Match{"kind": "list"}, When: fault.When{For: fault.Duration(8 * time.Minute)},
				Effect: cssim.Effect{State: "brand_new"}}
			if err := r.sim.Faults().Add(odd); err != nil {
				t.Fatal(err)
			}
			healed := time.Now().Add(8 * time.Minute)
			last, _ := r.drive(dispatch.Change{Key: key("op-1")})
			ended := time.Now()
			var end time.Time
			for _, o := range r.sim.Journal().Objects {
				if m := o.Mutations; len(m) > 0 && strings.Contains(o.InternalID, "break_glass") {
					at := m[len(m)-1].OutcomeAt
					if at.IsZero() {
						t.Errorf("seed %d: %s has not ended", seed, o.InternalID)
					}
					if at.After(end) {
						end = at
					}
				}
			}
			if end.Before(healed) {
				end = healed // before that no state was known
			}
			if last.Label != Succeeded || ended.Before(end) || ended.Sub(end) > 42*time.Second {
				t.Errorf("seed %d: %s %v after the last of them", seed, last.Label, ended.Sub(end))
			}
		})
	}
}

func TestRevokeCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		states []string
		want   string // "" = stays pending until its deadline
	}{
		"none at all":     {nil, Succeeded},
		"all over":        {[]string{"revoked", "expired"}, Succeeded},
		"one failed":      {[]string{"revoked", "failed"}, Failed},
		"one not known":   {[]string{"revoked", "brand_new"}, ""},
		"one left behind": {[]string{"revoked", "issued"}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.plant(clusterID, "ready")
			for i, state := range c.states {
				if err := r.sim.PlantObject(cssim.Planted{InternalID: clusterID + "/break_glass_credentials/b" + string(rune('0'+i)),
					State: state, Expires: time.Now().Add(24 * time.Hour)}); err != nil {
					t.Fatal(err)
				}
			}
			d := operationDoc("op-1", RevokeCredentials)
			r.put(d)
			began := time.Now()
			last, _ := r.drive(dispatch.Change{Key: key("op-1")})
			took, code := time.Since(began), ""
			if e, ok := r.properties("op-1")["error"].(doc); ok {
				code = e["code"].(string)
			}
			switch {
			case c.want == "":
				if last.Label != Failed || code != codeTimedOut || took < 25*time.Minute || took > 26*time.Minute {
					t.Errorf("%s: %s %s after %v", name, last.Label, code, took)
				}
			case last.Label != c.want || took < DefaultConfig().SettleTime:
				t.Errorf("%s: %s after %v", name, last.Label, took)
			}
		})
	}
}

// TestRevocationLink: the newest generation's cluster names the revocation in a
// field of its own, which keeps it from being asked for credentials.
func TestRevocationLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plant(clusterID, "ready")
		r.put(newestOperationDoc("op-1", RevokeCredentials))
		cluster := newestClusterDoc("r1", "another")
		provider := props(cluster)["serviceProviderProperties"].(doc)
		provider[fieldRevoke], provider[fieldState] = "OP-1", Updating
		r.put(cluster)
		if last, _ := r.drive(dispatch.Change{Key: key("op-1")}); last.Label != Succeeded {
			t.Fatalf("ended as %s", last.Label)
		}
		after := r.properties("r1")["serviceProviderProperties"].(doc)
		if _, left := after[fieldRevoke]; left || after[fieldState] != Updating || after[fieldLink] != "another" {
			t.Errorf("have %v", after)
		}
		if v := r.properties("r1")["cosmosMetadata"].(doc)["instanceVersion"]; v != 6.0 {
			t.Errorf("version %v", v)
		}
	})
}

// TestRevocationLinkOutlivesItsOperation: cleared by the list, as other links are.
func TestRevocationLinkOutlivesItsOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		op := newestOperationDoc("op-1", RevokeCredentials)
		props(op)["status"] = Canceled
		r.put(op)
		cluster := newestClusterDoc("r1", "")
		provider := props(cluster)["serviceProviderProperties"].(doc)
		provider[fieldRevoke], provider[fieldState] = "op-1", Updating
		delete(provider, fieldLink)
		r.put(cluster)
		var listed []dispatch.Change
		if err := r.h.Pending(t.Context(), "", false, func(c dispatch.Change) { listed = append(listed, c) }); err != nil {
			t.Fatal(err)
		}
		for _, c := range listed {
			if _, err := r.step(c); err != nil {
				t.Error(err)
			}
		}
		after := r.properties("r1")["serviceProviderProperties"].(doc)
		if _, left := after[fieldRevoke]; left || after[fieldState] != Updating || len(listed) != 1 {
			t.Errorf("listed %d, have %v", len(listed), after)
		}
	})
}

// TestHostileRevocationLink: a resource that a Delete is not about does not go with
// it, whatever it says.
func TestHostileRevocationLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plant(clusterID, "gone")
		d := operationDoc("op-1", Delete)
		props(d)["startTime"] = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		r.put(d)
		cluster := newestClusterDoc("r1", "")
		delete(props(cluster)["serviceProviderProperties"].(doc), fieldLink)
		props(cluster)["serviceProviderProperties"].(doc)[fieldRevoke] = "op-1"
		r.put(cluster)
		time.Sleep(5 * time.Minute) // past the grace, which counts from when it was stored
		if last, _ := r.drive(dispatch.Change{Key: key("op-1")}); last.Label != Succeeded {
			t.Fatalf("ended as %s", last.Label)
		}
		if raw := r.get("r1"); raw == nil || strings.Contains(string(raw), "deletionTimestamp") {
			t.Errorf("the cluster was deleted: %s", raw)
		}
	})
}

// TestCredentialsOfAGoneCluster: a 404 on the list is no proof; one on the cluster
// ends no revocation before its deadline.
func TestCredentialsOfAGoneCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plant(clusterID, "ready")
		hide := cssim.Fault{Name: "hide", Match: fault.Match{"kind": "list"}, When: fault.When{For: fault.Duration(time.Minute)},
			Effect: cssim.Effect{Effect: fault.Effect{Status: 404}}}
		if err := r.sim.Faults().Add(hide); err != nil {
			t.Fatal(err)
		}
		r.put(operationDoc("op-1", RevokeCredentials))
		step, err := r.step(dispatch.Change{Key: key("op-1")})
		if err != nil || step.Label != labelUnknownState {
			t.Errorf("%s, %v", step.Label, err)
		}
		if last, _ := r.drive(dispatch.Change{Key: key("op-1")}); last.Label != Succeeded {
			t.Errorf("ended as %s", last.Label)
		}
		r.plant(clusterID, "gone")
		r.put(operationDoc("op-2", RevokeCredentials))
		last, _ := r.drive(dispatch.Change{Key: key("op-2")})
		if code := r.properties("op-2")["error"].(doc)["code"]; last.Label != Failed || code != codeNotFound {
			t.Errorf("ended as %s, %v", last.Label, code)
		}
	})
}
