package cssim

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"time"

	"opfeed/cs"
)

func (s *Server) get(r request) (answer, error) {
	o, st, err := s.look(r)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, o.render(r.api, o.show(r.effect, st))}, nil
}

func (s *Server) getStatus(r request) (answer, error) {
	o, st, err := s.look(r)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, o.renderStatus(r.api, o.show(r.effect, st))}, nil
}

// look finds an object for a reader, whose visit is noted even if it is gone.
func (s *Server) look(r request) (*object, state, error) {
	if o := s.objects[r.ref]; o != nil {
		o.read(r.agent, r.now)
	}
	return s.find(r.ref, r.asOf)
}

func (s *Server) getExternalAuthConfig(r request) (answer, error) {
	if _, _, err := s.find(r.ref, r.asOf); err != nil {
		return answer{}, err
	}
	path := r.api.path(r.ref) + "/external_auth_config"
	return answer{http.StatusOK, map[string]any{
		"kind": "ExternalAuthConfig", "href": path, "state": "enabled",
		"external_auths": map[string]any{"kind": "ExternalAuthListLink", "href": path + "/external_auths"},
	}}, nil
}

func (s *Server) post(r request) (answer, error) {
	body, err := posted(r.Request)
	if err != nil {
		return answer{}, err
	}
	k := r.ref
	if k.Kind == cs.BreakGlassCredential {
		if err := checkCredential(body, r.now); err != nil {
			return answer{}, err
		}
	}
	if k.Kind != cs.Cluster {
		parent, _, err := s.find(parentOf(k), r.now)
		if err != nil {
			return answer{}, err
		}
		if parent.deleting(r.now) {
			return answer{}, &failure{http.StatusBadRequest,
				fmt.Sprintf("Cluster with id '%s' is being deleted", k.Cluster)}
		}
	}
	k, err = s.name(k, body)
	if err != nil {
		return answer{}, err
	}
	if _, _, err := s.find(k, r.now); err == nil {
		return answer{}, &failure{http.StatusConflict, fmt.Sprintf("%s with id '%s' already exists", k.Kind, idOf(k))}
	}
	o := s.object(k)
	o.body = body
	s.create(o, r.now)
	return answer{http.StatusCreated, o.render(r.api, o.show(r.effect, o.stateAt(r.now)))}, nil
}

func (s *Server) patch(r request) (answer, error) {
	body, err := posted(r.Request)
	if err != nil {
		return answer{}, err
	}
	o, _, err := s.find(r.ref, r.now)
	if err != nil {
		return answer{}, err
	}
	if o.deleting(r.now) {
		return answer{}, &failure{http.StatusBadRequest,
			fmt.Sprintf("%s with id '%s' is being deleted", r.ref.Kind, idOf(r.ref))}
	}
	if o.body == nil {
		o.body = map[string]json.RawMessage{}
	}
	maps.Copy(o.body, body)
	s.update(o, r.now)
	return answer{http.StatusOK, o.render(r.api, o.show(r.effect, o.stateAt(r.now)))}, nil
}

func (s *Server) delete(r request) (answer, error) {
	o, _, err := s.find(r.ref, r.now)
	if err != nil {
		return answer{}, err
	}
	if !o.deleting(r.now) {
		s.remove(o, r.now)
	}
	return answer{status: http.StatusNoContent}, nil
}

// posted reads the posted object.
func posted(r *http.Request) (map[string]json.RawMessage, error) {
	var body map[string]json.RawMessage
	if err := readJSON(r, &body); err != nil {
		return nil, err
	}
	if body == nil {
		return nil, &failure{http.StatusBadRequest, errUnread.Error()}
	}
	return body, nil
}

// name completes the name of a new object: with the posted id, which newer front
// ends choose, or with one made up.
func (s *Server) name(k cs.Ref, body map[string]json.RawMessage) (cs.Ref, error) {
	own := &k.Child
	if k.Kind == cs.Cluster {
		own = &k.Cluster
	}
	id, err := stringField(body, "id")
	if err != nil {
		return k, err
	}
	if id != "" {
		*own = id
		if err := checkRef(k); err != nil {
			return k, &failure{http.StatusBadRequest, err.Error()}
		}
		return k, nil
	}
	name, err := stringField(body, "name")
	if err != nil {
		return k, err
	}
	// By name, so that the order in which objects are posted does not matter.
	seed := k.Path() + "\x00" + name
	s.named[seed]++
	r := rand.New(rand.NewPCG(s.options.Seed, hash(seed, s.named[seed])))
	const alphabet = "0123456789abcdefghijklmnopqrstuv"
	made := make([]byte, 32)
	for i := range made {
		made[i] = alphabet[r.IntN(len(alphabet))]
	}
	*own = string(made)
	return k, nil
}

func stringField(body map[string]json.RawMessage, name string) (string, error) {
	raw, ok := body[name]
	if !ok {
		return "", nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", &failure{http.StatusBadRequest, fmt.Sprintf("field '%s' is not a string", name)}
	}
	return text, nil
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
