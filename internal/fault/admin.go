package fault

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// maxRule bounds a rule that comes over HTTP.
const maxRule = 1 << 20

// ServeHTTP lets an administrator see and change the rules: GET lists their
// reports, POST adds the rule in its body, DELETE removes the rule that the query
// names, or all.
func (r *Rules[E]) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.Method {
	case http.MethodGet:
		WriteJSON(w, http.StatusOK, r.Reports())
	case http.MethodPost:
		var rule Rule[E]
		if err := ReadJSON(req, &rule); err != nil {
			Refuse(w, http.StatusBadRequest, "read rule: "+err.Error())
			return
		}
		if err := r.Add(rule); err != nil {
			Refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		if req.URL.RawQuery == "" {
			r.Clear()
		} else if name := req.URL.Query().Get("name"); !r.Remove(name) {
			Refuse(w, http.StatusNotFound, "there is no rule of this name")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		Refuse(w, http.StatusMethodNotAllowed, "GET, POST and DELETE are known here")
	}
}

// ReadJSON reads what an administrator posts: one JSON value without unknown
// properties.
func ReadJSON(req *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, req.Body, maxRule))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// WriteJSON answers an administrator.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value) //nolint:errcheck,errchkjson // the client has gone
}

// Refuse tells an administrator what is wrong.
func Refuse(w http.ResponseWriter, status int, message string) {
	WriteJSON(w, status, map[string]string{"message": message})
}
