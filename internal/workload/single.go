package workload

import (
	"encoding/json"
	"fmt"
	"time"
)

// Single is one request of a user without the plan of a front end, for tests that
// write far more than a front end would. Its object is planted, not asked for.
type Single struct {
	Target  Target
	Request Request
	Named   Named
	Written time.Time // just before the write of its documents
}

// DocumentID is the id of the operation's document.
func (s Single) DocumentID() string { return s.operation().documentID() }

// Documents are the operation and its resource as a front end of the target's
// generation writes them, as JSON.
func (s Single) Documents() (operation, resource []byte, err error) {
	op, res := s.documents()
	if operation, err = json.Marshal(op); err == nil {
		resource, err = json.Marshal(res)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("encode documents of %s: %w", s.Target.ResourceID(), err)
	}
	return operation, resource, nil
}

// Mismatches holds what has become of the documents, nil if they are gone, against
// what the simulator did to the object, and says in words what is wrong. The
// terminal status was seen at ended.
func (s Single) Mismatches(operation, resource []byte, ended time.Time, objects *Objects) []string {
	var f final
	for _, d := range []struct {
		text []byte
		into *map[string]any
	}{{operation, &f.Operation}, {resource, &f.Resource}} {
		if d.text == nil {
			continue
		}
		if err := json.Unmarshal(d.text, d.into); err != nil {
			return []string{fmt.Sprintf("a document does not decode: %v", err)}
		}
	}
	before, resourceBefore := s.documents()
	status := text(f.Operation, "properties", "status")
	return check(entry{
		Request: s.Request, Target: s.Target, Loaded: true, Terminal: ended, Status: status,
		Before: before, ResBefore: resourceBefore,
	}, true, f, objects.byID[s.Target.Object()])
}

func (s Single) operation() operation {
	return operation{Target: s.Target, Request: s.Request, Named: s.Named, Start: s.Written, InternalID: s.Target.InternalID()}
}

func (s Single) documents() (op, resource map[string]any) {
	o := s.operation()
	return o.document(), s.Target.document(link{Active: s.Named.ID, State: o.status(), InternalID: o.InternalID})
}

// Objects is the simulator's journal, by object.
type Objects struct{ byID map[string]*object }

// ReadObjects decodes the journal.
func ReadObjects(text []byte) (*Objects, error) {
	var j journal
	if err := json.Unmarshal(text, &j); err != nil { //nolint:musttag // names that differ in case alone
		return nil, fmt.Errorf("decode journal: %w", err)
	}
	return &Objects{j.byID()}, nil
}

// PickedUp is when the service first asked for the target of a request, false if it
// never did.
func (o *Objects) PickedUp(s Single) (at time.Time, asked bool) {
	if found := o.byID[s.Target.Object()]; found != nil && len(found.Mutations) > 0 {
		at, asked = found.Mutations[len(found.Mutations)-1].FirstRead[serviceAgent]
	}
	return at, asked
}
