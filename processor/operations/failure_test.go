package operations

import (
	"strings"
	"testing"
	"testing/synctest"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/processor/dispatch"
)

func TestFailure(t *testing.T) {
	many := make([]string, 3*maxDetails)
	huge := strings.Repeat("é", maxMessage)
	for name, c := range map[string]struct {
		in      Input
		code    string
		message string // how it begins
		details int
	}{
		"nothing said":  {Input{Request: Create}, codeInternal, "Internal server error.", 0},
		"blank":         {Input{Request: Create, Answer: Answer{Status: cs.Status{ErrorCode: " ", Message: "\n"}}}, codeInternal, "Internal server error.", 0},
		"node pool":     {Input{Kind: cs.NodePool, Request: Update, Answer: Answer{Status: cs.Status{Message: "no quota"}}}, codeInternal, "no quota", 0},
		"cluster":       {Input{Request: Delete, Answer: Answer{Status: cs.Status{ErrorCode: "OCM3", Message: huge}}}, "OCM3", "é", 0},
		"no checks":     {Input{Request: Create, Answer: Answer{Status: cs.Status{ErrorCode: codeInflight, Message: "m"}}}, codeInflight, "m", 0},
		"one check":     {Input{Request: Create, Answer: Answer{Checks: []string{"dns"}}}, codeInternal, "dns", 0},
		"mute check":    {Input{Request: Create, Answer: Answer{Checks: []string{""}}}, codeInternal, "A check of", 0},
		"two checks":    {Input{Request: Create, Answer: Answer{Checks: []string{"dns", huge}}}, codeMultiple, "Cluster provisioning failed due to multiple", 2},
		"sixty checks":  {Input{Request: Create, Answer: Answer{Checks: many}}, codeMultiple, "Cluster provisioning failed due to 60 errors", maxDetails},
		"credential":    {Input{Request: RequestCredential, Answer: Answer{Status: cs.Status{State: "failed"}}}, codeInternal, "Failed to provision", 0},
		"revoked early": {Input{Request: RequestCredential, Answer: Answer{Status: cs.Status{State: "revoked"}}}, codeInternal, "The cluster credential was revoked", 0},
		"expired":       {Input{Request: RequestCredential, Answer: Answer{Status: cs.Status{State: "Expired"}}}, codeInternal, "The cluster credential has expired", 0},
		"revocation":    {Input{Request: RevokeCredentials}, codeInternal, "Failed to revoke cluster credential.", 0},
	} {
		e := failure(c.in)
		if e.Code != c.code || !strings.HasPrefix(e.Message, c.message) || len(e.Details) != c.details || len(e.Message) > maxMessage {
			t.Errorf("%s: have %s, %.80q, %d details", name, e.Code, e.Message, len(e.Details))
		}
		for _, d := range e.Details {
			if d.Code == "" || d.Message == "" || len(d.Message) > maxDetail || strings.ContainsRune(d.Message, '\uFFFD') {
				t.Errorf("%s: detail %s with %d bytes", name, d.Code, len(d.Message))
			}
		}
	}
}

// TestInflightChecks reads all pages of them, and ends the operation without them
// where Cluster Service has none to give.
func TestInflightChecks(t *testing.T) {
	for _, c := range []struct {
		failed      int
		refuse      bool // the list, with 404
		code        string
		details     int
		wantMessage string
	}{
		{failed: 1, code: codeInternal},
		{failed: 2, code: codeMultiple, details: 2},
		{failed: 130, code: codeMultiple, details: maxDetails, wantMessage: "due to 130 errors"},
		{failed: 2, refuse: true, code: codeInflight, wantMessage: "checks failed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			if err := r.sim.PlantObject(cssim.Planted{InternalID: clusterID, State: "error", FailedChecks: c.failed}); err != nil {
				t.Fatal(err)
			}
			if c.refuse {
				f := cssim.Fault{Name: "none", Match: fault.Match{"kind": "checks"}, Effect: cssim.Effect{Effect: fault.Effect{Status: 404}}}
				if err := r.sim.Faults().Add(f); err != nil {
					t.Fatal(err)
				}
			}
			r.put(operationDoc("op-1", Create))
			if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Label != Failed {
				t.Fatalf("%v, %v", step.Label, err)
			}
			e := r.properties("op-1")["error"].(doc)
			details, _ := e["details"].([]any)
			if e["code"] != c.code || len(details) != c.details || !strings.Contains(e["message"].(string), c.wantMessage) {
				t.Errorf("%d failed, refused %v: have %v", c.failed, c.refuse, e)
			}
		})
	}
}
