package operations

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// patch is a list of changes to one document, applied in order and as a whole.
// The service takes at most ten.
type patch []change

// change sets a field or removes it. Paths are made of constant names without
// slash or tilde, so they need no escaping.
type change struct {
	path  []string
	value any // nil: remove. A set to null cannot be sent by azcosmos, nor is it needed
}

func (p *patch) set(value any, path ...string) { *p = append(*p, change{path: path, value: value}) }

func (p *patch) remove(path ...string) { *p = append(*p, change{path: path}) }

// operations is the patch as azcosmos sends it.
func (p patch) operations() azcosmos.PatchOperations {
	var ops azcosmos.PatchOperations
	for _, c := range p {
		path := "/" + strings.Join(c.path, "/")
		if c.value == nil {
			ops.AppendRemove(path)
		} else {
			ops.AppendSet(path, c.value)
		}
	}
	return ops
}

// apply does to raw what the service does: a missing parent, or the removal of
// what is not there, is an error. Everything else in the document is kept.
func (p patch) apply(raw []byte) ([]byte, error) {
	for _, c := range p {
		var err error
		if raw, err = c.apply(raw, c.path); err != nil {
			return nil, fmt.Errorf("patch /%s: %w", strings.Join(c.path, "/"), err)
		}
	}
	return raw, nil
}

func (c change) apply(raw []byte, path []string) ([]byte, error) {
	o, ok := parseObject(raw)
	if !ok {
		return nil, fmt.Errorf("parent of %s is not an object", path[0])
	}
	old, found := o[path[0]]
	switch {
	case len(path) > 1:
		if !found {
			return nil, fmt.Errorf("%s is missing", path[0])
		}
		member, err := c.apply(old, path[1:])
		if err != nil {
			return nil, err
		}
		o[path[0]] = member
	case c.value != nil:
		value, err := json.Marshal(c.value)
		if err != nil {
			return nil, err
		}
		o[path[0]] = value
	case !found:
		return nil, fmt.Errorf("%s is missing", path[0])
	default:
		delete(o, path[0])
	}
	return json.Marshal(o)
}
