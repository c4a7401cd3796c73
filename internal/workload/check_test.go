package workload

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// ending is one operation that ended well, and what is stored then.
type ending struct {
	e entry
	f final
	o *object
}

// goodEnding is an operation that ended as its object did at noon + 20 s.
func goodEnding(k Kind, g Generation, r Request, outcome string) *ending {
	target := sampleTarget(k, g, 0)
	o := operation{Target: target, Request: r, Named: Named{ID: "50c1a0ba-3bc4-48fb-857e-eb0974df1e1c"}, Start: noon, InternalID: target.InternalID()}
	x := &ending{e: entry{
		Request: r, Target: target, Called: noon.Add(-time.Millisecond), Answered: noon,
		Written: noon, Terminal: noon.Add(21 * time.Second), Object: target.Object(),
		Before:    o.document(),
		ResBefore: target.document(link{Active: o.Named.ID, State: o.status(), InternalID: o.InternalID}),
	}}
	x.o = &object{InternalID: target.Object(), State: outcome, Mutations: []mutation{
		{Kind: "planted", At: noon.Add(-time.Minute), Outcome: "ready", OutcomeAt: noon.Add(-time.Minute)},
		{Kind: deed(r), At: noon, Outcome: outcome, OutcomeAt: noon.Add(20 * time.Second)},
	}}
	status := "Succeeded"
	x.f = final{Operation: decoded(x.e.Before), Resource: decoded(x.e.ResBefore)}
	if outcome == "error" {
		status = "Failed"
		m := &x.o.Mutations[1]
		m.ErrorCode, m.ErrorMessage = "OCM3999", "It failed."
		x.set("properties/error", map[string]any{"code": "OCM3999", "message": "It failed."})
	}
	x.e.Status = status
	x.set("properties/status", status)
	x.set("properties/lastTransitionTime", noon.Add(20*time.Second).Add(30*time.Millisecond).Format(time.RFC3339Nano))
	raise(x.f.Operation)
	at := target.places()
	if r == RequestCredential || r == RevokeCredentials {
		// Its resource is as it was, but that it named the revocation.
		x.e.ResBefore = target.document(link{State: "Succeeded", InternalID: o.InternalID})
		x.f.Resource = decoded(x.e.ResBefore)
		if r == RevokeCredentials && o.name(x.e.ResBefore) {
			raise(x.f.Resource)
		}
		return x
	}
	put(x.f.Resource, at.State, status)
	parent := x.f.Resource
	for _, name := range at.Active[:len(at.Active)-1] {
		parent = parent[name].(map[string]any)
	}
	delete(parent, at.Active[len(at.Active)-1])
	raise(x.f.Resource)
	if r == Delete && status == "Succeeded" {
		x.f.Resource = nil
		if g == Metadata {
			x.f.Resource = map[string]any{"id": "d", "deletionTimestamp": "2026-03-04T12:00:20Z", "ttl": 30.0}
		}
	}
	return x
}

func (x *ending) set(path string, v any) { put(x.f.Operation, strings.Split(path, "/"), v) }

func (x *ending) cancel() {
	x.e.Superseded, x.e.Status = true, "Canceled"
	x.set("properties/status", "Canceled")
	x.set("properties/error", map[string]any{"code": "Canceled", "message": supersededMessage})
}

func TestCheckAcceptsWhatIsRight(t *testing.T) {
	for _, k := range []Kind{Cluster, NodePool, ExternalAuth} {
		for _, g := range []Generation{Flat, Envelope, Metadata} {
			for r, outcomes := range map[Request][]string{Create: {"ready", "error"}, Update: {"ready", "error"}, Delete: {"gone", "error"}} {
				for _, outcome := range outcomes {
					x := goodEnding(k, g, r, outcome)
					if got := check(x.e, true, x.f, x.o); len(got) > 0 {
						t.Errorf("%v %v %v %s: %q", k, g, r, outcome, got)
					}
				}
			}
		}
	}
	x := goodEnding(Cluster, Flat, Create, "ready")
	x.cancel()
	x.o.Mutations[1].Outcome = "" // overtaken by the delete
	if got := check(x.e, false, x.f, x.o); len(got) > 0 {
		t.Errorf("cancelled: %q", got)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		r       Request
		outcome string
		tamper  func(*ending)
		want    string
	}{
		"operation gone":           {Create, "ready", func(x *ending) { x.f.Operation = nil }, "operation document is gone"},
		"wrong status":             {Create, "ready", func(x *ending) { x.set("properties/status", "Failed") }, "Failed instead of Succeeded"},
		"success of a failure":     {Update, "error", func(x *ending) { x.set("properties/status", "Succeeded") }, "Succeeded instead of Failed"},
		"cancelled by nobody":      {Update, "ready", func(x *ending) { x.set("properties/status", "Canceled") }, "Canceled instead of Succeeded"},
		"back to life":             {Update, "ready", func(x *ending) { x.set("properties/status", "Updating") }, `the status is "Updating"`},
		"terminal status changed":  {Create, "ready", func(x *ending) { x.e.Changed = "Failed" }, "changed from Succeeded to Failed"},
		"success with an error":    {Create, "ready", func(x *ending) { x.set("properties/error", map[string]any{"code": "c"}) }, "Succeeded with an error"},
		"no error code":            {Create, "error", func(x *ending) { x.set("properties/error", map[string]any{"message": "It failed."}) }, "without an error code"},
		"wrong error code":         {Create, "error", func(x *ending) { x.set("properties/error/code", "Other") }, `error code is "Other"`},
		"wrong error message":      {Create, "error", func(x *ending) { x.set("properties/error/message", "Other") }, `error message is "Other"`},
		"superseded, yet finished": {Create, "ready", func(x *ending) { x.e.Superseded = true }, "Succeeded instead of Canceled"},
		"before any outcome":       {Update, "ready", func(x *ending) { x.o.Mutations[1].Outcome = "" }, "has not ended it"},
		"without an object":        {Update, "ready", func(x *ending) { x.o = nil }, "never had its object"},
		"too early":                {Update, "ready", func(x *ending) { x.o.Mutations[1].OutcomeAt = noon.Add(21 * time.Second) }, "before its object "},
		"seen too early":           {Update, "ready", func(x *ending) { x.e.Terminal = noon.Add(19500 * time.Millisecond) }, "before its object "},
		"transition before start":  {Update, "ready", func(x *ending) { x.set("properties/lastTransitionTime", "2026-03-04T11:59:00Z") }, "is before startTime"},
		"transition in the future": {Update, "ready", func(x *ending) { x.set("properties/lastTransitionTime", "2026-03-04T12:05:00Z") }, "is after the status was seen"},
		"no transition time":       {Update, "ready", func(x *ending) { x.set("properties/lastTransitionTime", "soon") }, "is no time"},
		"operation property lost":  {Update, "ready", func(x *ending) { delete(x.f.Operation, "ttl") }, "property ttl was lost"},
		"unknown property changed": {Update, "ready", func(x *ending) { x.set("properties/"+unknownProperty+"/note", "x") }, unknownProperty + "/note was changed"},
		"unknown list harmed":      {Update, "ready", func(x *ending) { x.set("properties/"+unknownProperty+"/list", []any{1.0}) }, unknownProperty + "/list was changed"},
		"unknown null lost": {Update, "ready", func(x *ending) {
			delete(x.f.Operation["properties"].(map[string]any)[unknownProperty].(map[string]any), "none")
		}, unknownProperty + "/none was lost"},
		"operation property added": {Update, "ready", func(x *ending) { x.set("properties/novelty", 1) }, "novelty was added"},
		"operation version":        {Update, "ready", func(x *ending) { x.set(versionPath, 1.0) }, "operation document: instanceVersion was not raised"},
		"resource gone":            {Update, "ready", func(x *ending) { x.f.Resource = nil }, "although nothing deleted it"},
		"resource state":           {Update, "ready", func(x *ending) { put(x.f.Resource, x.e.Target.places().State, "Updating") }, `provisioningState is "Updating"`},
		"link left":                {Update, "ready", func(x *ending) { put(x.f.Resource, x.e.Target.places().Active, "x") }, "names operation x as active"},
		"resource property lost":   {Update, "ready", func(x *ending) { delete(x.f.Resource["properties"].(map[string]any), "systemData") }, "resource document: property properties/systemData was lost"},
		"resource version":         {Update, "ready", func(x *ending) { put(x.f.Resource, strings.Split(versionPath, "/"), 1.0) }, "resource document: instanceVersion was not raised"},
		"deleted, document left":   {Delete, "gone", func(x *ending) { x.f.Resource = decoded(x.e.ResBefore) }, "document is still there"},
		"soft delete, wrong place": {Delete, "gone", func(x *ending) { x.e.Target.Generation = Flat }, "which its generation does not know"},
		"delete while still there": {Delete, "ready", func(*ending) {}, "but its object became ready"},
		"update of what is gone":   {Update, "gone", func(*ending) {}, "but its object became gone"},
		"create of what is gone":   {Create, "gone", func(x *ending) { x.set("properties/status", "Failed") }, "but its object became gone"},
	} {
		t.Run(name, func(t *testing.T) {
			x := goodEnding(NodePool, Metadata, c.r, c.outcome)
			c.tamper(x)
			got := check(x.e, true, x.f, x.o)
			if !strings.Contains(strings.Join(got, "\n"), c.want) {
				t.Errorf("reported %q, want %q", got, c.want)
			}
		})
	}
}

// A deed of another call must not be taken for this operation's outcome.
func TestOutcomeIsThatOfItsOwnCall(t *testing.T) {
	x := goodEnding(Cluster, Flat, Update, "ready")
	x.o.Mutations[1].At = noon.Add(5 * time.Second)
	if m := outcome(x.e, x.o); m != nil {
		t.Errorf("took %+v", m)
	}
	x.o.Mutations[1].At = noon.Add(-500 * time.Microsecond)
	if m := outcome(x.e, x.o); m == nil {
		t.Error("did not find its own call")
	}
}
