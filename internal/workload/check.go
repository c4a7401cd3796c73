package workload

import (
	"fmt"
	"strings"
	"time"
)

// clockSlack is how far two clocks of one machine may seem apart.
const clockSlack = 50 * time.Millisecond

// final is what is stored at the end; nil maps are absent documents.
type final struct {
	Operation map[string]any
	Resource  map[string]any
}

// check holds one terminal operation, and its resource if the operation is the
// resource's last, against what the simulator did. It returns every
// disagreement in words. It does no I/O.
func check(e entry, last bool, f final, o *object) []string {
	var out []string
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if f.Operation == nil {
		return []string{"the operation document is gone"}
	}
	status := text(f.Operation, "properties", "status")
	if e.Changed != "" {
		bad("a terminal status changed from %s to %s", e.Status, e.Changed)
	}
	if !terminal(status) {
		bad("the status is %q, after it was %s", status, e.Status)
	}
	out = append(out, checkOutcome(e, f.Operation, status, o)...)
	out = append(out, checkTransition(e, f.Operation, o)...)
	out = append(out, checkOperationDocument(e.Before, f.Operation)...)
	if last {
		out = append(out, checkResource(e, status, f.Resource)...)
	}
	return out
}

// checkOutcome compares the terminal status with how the object ended.
func checkOutcome(e entry, op map[string]any, status string, o *object) []string {
	want, code, message, words := expected(e, o)
	if want == "" {
		return []string{fmt.Sprintf("the operation is %s, but %s", status, words)}
	}
	if e.Request == RequestCredential && want == "Succeeded" && status == "Failed" && missed(op, o) {
		want = status
	}
	if status != want {
		return []string{fmt.Sprintf("the operation is %s instead of %s: %s", status, want, words)}
	}
	// The status of a node pool has no code, so that the service gives its own.
	gotCode, gotMessage := text(op, "properties", "error", "code"), text(op, "properties", "error", "message")
	switch {
	case want == "Succeeded":
		if v, ok := find(op, []string{"properties", "error"}); ok && v != nil {
			return []string{fmt.Sprintf("the operation Succeeded with an error: %v", v)}
		}
	case gotCode == "":
		return []string{"the operation is " + status + " without an error code"}
	case code != "" && gotCode != code && (e.Target.Kind == Cluster || gotCode != "InternalServerError"):
		return []string{fmt.Sprintf("the error code is %q instead of %q", gotCode, code)}
	case message != "" && gotMessage != message:
		return []string{fmt.Sprintf("the error message is %q instead of %q", gotMessage, message)}
	}
	return nil
}

// expected is the terminal status that the simulator's deeds ask for; "" if it
// has done nothing that could end the operation: a delete ends only by its object
// going, and nothing else ends by that.
func expected(e entry, o *object) (status, code, message, words string) {
	if e.Superseded {
		return "Canceled", "Canceled", supersededMessage, "the front end cancelled it"
	}
	if o == nil {
		return "", "", "", "Cluster Service never had its object"
	}
	m := outcome(e, o)
	if m == nil || m.Outcome == "" {
		return "", "", "", "Cluster Service has not ended it: its object is " + o.State
	}
	words = "its object became " + m.Outcome
	switch {
	case m.Outcome == "error":
		return "Failed", m.ErrorCode, m.ErrorMessage, words
	case e.Request == RequestCredential || e.Request == RevokeCredentials:
		return credentialOutcome(e.Request, m.Outcome), "", "", words
	case (e.Request == Delete) != (m.Outcome == "gone"):
		return "", "", "", words
	default:
		return "Succeeded", "", "", words
	}
}

// outcome finds the deed that ends an operation: the one that its own call
// caused; for loaded operations the last.
func outcome(e entry, o *object) *mutation {
	if e.Request == RequestCredential {
		return issue(o)
	}
	var found *mutation
	for i := range o.Mutations {
		m := &o.Mutations[i]
		switch {
		case e.Loaded:
			if m.Outcome != "" || found == nil {
				found = m
			}
		case m.Kind != deed(e.Request):
		case m.At.Before(e.Called.Add(-clockSlack)), m.At.After(e.Answered.Add(clockSlack)):
		default:
			found = m
		}
	}
	return found
}

func checkTransition(e entry, op map[string]any, o *object) []string {
	moved, err := time.Parse(time.RFC3339Nano, text(op, "properties", "lastTransitionTime"))
	if err != nil {
		return []string{fmt.Sprintf("lastTransitionTime is no time: %q", text(op, "properties", "lastTransitionTime"))}
	}
	var out []string
	if start, err := time.Parse(time.RFC3339Nano, text(op, "properties", "startTime")); err == nil && moved.Before(start.Add(-clockSlack)) {
		out = append(out, fmt.Sprintf("lastTransitionTime %v is before startTime %v", moved, start))
	}
	if moved.After(e.Terminal.Add(time.Second)) {
		out = append(out, fmt.Sprintf("lastTransitionTime %v is after the status was seen at %v", moved, e.Terminal))
	}
	if e.Superseded || o == nil {
		return out
	}
	m := outcome(e, o)
	if m == nil || m.Outcome == "" {
		return out
	}
	if moved.Before(m.OutcomeAt.Add(-clockSlack)) || e.Terminal.Before(m.OutcomeAt.Add(-clockSlack)) {
		out = append(out, fmt.Sprintf("the operation ended at %v, before its object %s did at %v", moved, o.InternalID, m.OutcomeAt))
	}
	return out
}

var operationAllowance = allowance{
	"properties/status":             {"changed"},
	"properties/lastTransitionTime": {"changed"},
	"properties/error":              {"added", "changed"},
	"properties/error/code":         {"added", "changed"},
	"properties/error/message":      {"added", "changed"},
	"properties/notificationUri":    {"lost"}, // ARM has been told: see checkTold
	versionPath:                     {"changed"},
}

func checkOperationDocument(before, after map[string]any) []string {
	if before == nil {
		return nil
	}
	cs := diff(decoded(before), after)
	var out []string
	for _, w := range operationAllowance.except(cs) {
		out = append(out, "operation document: "+w)
	}
	if !versionRaised(decoded(before), after, cs) {
		out = append(out, "operation document: instanceVersion was not raised")
	}
	return out
}

func checkResource(e entry, status string, res map[string]any) []string {
	var out []string
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if e.Request == RevokeCredentials {
		return checkRevoked(e, res)
	}
	if e.Request == Delete && status == "Succeeded" {
		_, soft := res["deletionTimestamp"]
		if res != nil && !soft {
			bad("the resource was deleted, but its document is still there")
		}
		if soft && e.Target.Generation != Metadata {
			bad("the resource document was soft-deleted, which its generation does not know")
		}
		return out
	}
	if res == nil {
		return []string{"the resource document is gone, although nothing deleted it"}
	}
	at := e.Target.places()
	if state := text(res, at.State...); state != status {
		bad("the resource's provisioningState is %q, its last operation is %s", state, status)
	}
	if v, _ := find(res, at.Active); v != nil && v != "" {
		bad("the resource still names operation %v as active", v)
	}
	cs := diff(decoded(e.ResBefore), res)
	allowed := allowance{
		strings.Join(at.State, "/"):  {"changed"},
		strings.Join(at.Active, "/"): {"lost", "changed"},
		versionPath:                  {"changed"},
	}
	for _, w := range allowed.except(cs) {
		out = append(out, "resource document: "+w)
	}
	if !versionRaised(decoded(e.ResBefore), res, cs) {
		out = append(out, "resource document: instanceVersion was not raised")
	}
	return out
}
