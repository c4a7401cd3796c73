package cosmosemu

import (
	"cmp"
	"encoding/json"
	"strings"
)

// faultAttributes are the names that attribute knows, see Fault.
var faultAttributes = []string{"kind", "database", "container", "range", "key", "id", "agent", "method"}

// attribute is what rules match.
func (s *Server) attribute(x *exchange, name string) string {
	switch name {
	case "kind":
		return x.kind
	case "database":
		return x.database
	case "container":
		return x.container
	case "range":
		if id := x.namedRange(); id != "" {
			return id
		}
		if p := s.addressed(x); p != nil {
			return p.id
		}
		return ""
	case "key":
		return x.header(headerPartitionKey)
	case "id":
		return x.itemID()
	case "agent":
		return x.agent()
	default:
		return x.request.Method
	}
}

// itemID is the id that a request is about. Before its handler has read the body
// that is what a look at it tells.
func (x *exchange) itemID() string {
	type item struct {
		ID string `json:"id"`
	}
	if x.id != "" {
		return x.id
	}
	switch x.kind {
	case kindCreate, kindUpsert:
		var sent item
		if json.Unmarshal(x.body, &sent) == nil {
			x.id = sent.ID
		}
	case kindBatch:
		var sent []struct {
			ID   string `json:"id"`
			Body item   `json:"resourceBody"`
		}
		if json.Unmarshal(x.body, &sent) == nil {
			ids := make([]string, len(sent))
			for i, o := range sent {
				ids[i] = cmp.Or(o.ID, o.Body.ID)
			}
			x.id = strings.Join(ids, ",")
		}
	}
	return x.id
}

// addressed is the partition that a request about items names, or that owns its
// key; nil if there is no such one.
func (s *Server) addressed(x *exchange) *partition {
	if x.resource != resourceItem && x.resource != resourceItems {
		return nil
	}
	c, err := s.container(x)
	if err != nil {
		return nil
	}
	key, err := x.givenKey(c.definition.Load())
	if err != nil {
		return nil
	}
	routes := c.routes(x.now)
	low, high, err := x.keyRange(c, routes, key)
	if owners := routes.between(low, high); err == nil && len(owners) == 1 {
		return owners[0]
	}
	return nil
}
