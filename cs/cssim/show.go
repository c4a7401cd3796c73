package cssim

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// show gives a state of the object as a client is to see it.
func (o *object) show(e Effect, st state) state {
	if e.Flap {
		o.flapped = !o.flapped
	}
	wrong := e.Flap && o.flapped
	switch {
	case e.State != "":
		st.name = e.State
	case wrong && st.name == stateReady:
		st.name = stateUpdating
	case wrong && st.name == stateUpdating:
		st.name = stateReady
	}
	return st
}

// alter gives a reply as a client is to see it.
func (e Effect) alter(body any) any {
	if e.Null == "" && e.Skew == 0 && !e.DropStatus || body == nil {
		return body
	}
	reply := decoded(body)
	if e.DropStatus {
		dropStatus(reply)
	}
	var nulls []string
	if e.Null != "" {
		nulls = strings.Split(e.Null, "|")
	}
	return altered(reply, "", nulls, time.Duration(e.Skew))
}

// decoded takes a reply apart, down to what clients have posted.
func decoded(body any) any {
	data, err := json.Marshal(body)
	if err != nil { // as in writeJSON
		panic(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var reply any
	if err := decoder.Decode(&reply); err != nil {
		panic(err)
	}
	return reply
}

func dropStatus(reply any) {
	envelope, _ := reply.(map[string]any)
	items, _ := envelope["items"].([]any)
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			delete(object, "status")
		}
	}
}

// altered makes some properties null and shifts all times. A path is like
// .status.state.
func altered(value any, path string, nulls []string, skew time.Duration) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			at := path + "." + name
			if slices.ContainsFunc(nulls, func(end string) bool { return strings.HasSuffix(at, "."+end) }) {
				value[name] = nil
			} else {
				value[name] = altered(inner, at, nulls, skew)
			}
		}
	case []any:
		for i, inner := range value {
			value[i] = altered(inner, path, nulls, skew)
		}
	case string:
		if at, err := time.Parse(time.RFC3339, value); err == nil {
			return at.Add(skew).Format(time.RFC3339Nano)
		}
	}
	return value
}
