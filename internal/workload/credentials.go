package workload

import (
	"fmt"
	"strings"
	"time"
)

// What the simulator's journal says of credentials.
const (
	stateIssued  = "issued"
	stateFailed  = "failed"
	stateRevoked = "revoked"
	stateExpired = "expired"
)

// deed is what the journal calls that which a request does to its object.
func deed(r Request) string {
	switch r {
	case Create, RequestCredential:
		return "create"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case RevokeCredentials:
		return "revoke"
	}
	return ""
}

// credentialOutcome is the status that ends an operation on credentials; "" for
// none.
func credentialOutcome(r Request, outcome string) string {
	switch {
	case r == RequestCredential && outcome == stateIssued, r == RevokeCredentials && outcome == stateRevoked:
		return "Succeeded"
	case outcome == stateFailed, outcome == stateRevoked, outcome == stateExpired:
		return "Failed"
	}
	return ""
}

// issue is how a credential that was asked for came out: issued or failed, or
// revoked before it was either; nil while it is none of that.
func issue(o *object) *mutation {
	if len(o.Mutations) == 0 {
		return nil
	}
	first := o.Mutations[0] // nobody asks for one twice
	for _, m := range o.Mutations[1:] {
		if first.Outcome == "" && m.Kind == deed(RevokeCredentials) && m.Outcome != "" {
			first.Outcome, first.OutcomeAt = m.Outcome, m.OutcomeAt
		}
	}
	if first.Outcome == "" && o.State == stateExpired {
		first.Outcome, first.OutcomeAt = stateExpired, o.Expires
	}
	return &first
}

// missed tells whether an operation ended when the credential, although it had been
// issued, was over: who had not looked before that never saw it issued.
func missed(op map[string]any, o *object) bool {
	moved, err := time.Parse(time.RFC3339Nano, text(op, "properties", "lastTransitionTime"))
	at := over(o)
	return err == nil && !at.IsZero() && !moved.Before(at)
}

// over is when a credential was revoked or expired; zero: it is not.
func over(o *object) time.Time {
	var at time.Time
	for _, m := range o.Mutations {
		if m.Kind == deed(RevokeCredentials) {
			at = m.At
		}
	}
	if at.IsZero() && o.State == stateExpired {
		at = o.Expires
	}
	return at
}

// revocation makes one object of all credentials of a cluster, on which the
// operation e has done one thing: it came to an end with the last of them, and
// failed if one of them is failed.
func revocation(e entry, all map[string]*object) *object {
	prefix := mgmtPrefix + strings.TrimPrefix(e.Object, aroPrefix) + "/break_glass_credentials/"
	whole := mutation{Kind: deed(RevokeCredentials), At: e.Called, Outcome: stateRevoked, FirstRead: map[string]time.Time{}}
	o := &object{InternalID: e.Object, State: "to be revoked, all credentials of it"}
	for path, credential := range all {
		if !strings.HasPrefix(path, prefix) {
			continue
		}
		state, last := credential.State, mutation{}
		if n := len(credential.Mutations); n > 0 {
			last = credential.Mutations[n-1]
		}
		for agent, at := range last.FirstRead {
			if first, ok := whole.FirstRead[agent]; !ok || at.Before(first) {
				whole.FirstRead[agent] = at
			}
		}
		switch {
		case credential.Gone:
		case state == stateExpired, state == stateRevoked:
		case state == stateFailed && whole.Outcome != "":
			whole.Outcome = stateFailed
		case state != stateFailed:
			whole.Outcome, whole.OutcomeAt = "", time.Time{}
			o.Mutations = []mutation{whole}
			return o
		}
		if last.Kind == deed(RevokeCredentials) && last.OutcomeAt.After(whole.OutcomeAt) {
			whole.OutcomeAt = last.OutcomeAt
		}
	}
	o.Mutations = []mutation{whole}
	return o
}

// objectOf is what the journal says of an operation's object; nil for nothing.
func objectOf(e entry, all map[string]*object) *object {
	if e.Request == RevokeCredentials {
		return revocation(e, all)
	}
	return all[e.Object]
}

// checkRevoked: a revocation leaves its cluster as it was, and its own name there
// goes.
func checkRevoked(e entry, res map[string]any) []string {
	if res == nil {
		return []string{"the resource document is gone, although nothing deleted it"}
	}
	var out []string
	allowed, before := allowance{}, decoded(e.ResBefore)
	if at := e.Target.places().Revoking; at != nil {
		allowed = allowance{strings.Join(at, "/"): {"lost"}, versionPath: {"changed"}}
		if v, ok := find(res, at); ok {
			out = append(out, fmt.Sprintf("the cluster still names its revocation: %v", v))
		}
	}
	cs := diff(before, res)
	for _, w := range allowed.except(cs) {
		out = append(out, "resource document: "+w)
	}
	if !versionRaised(before, res, cs) {
		out = append(out, "resource document: instanceVersion was not raised")
	}
	return out
}
