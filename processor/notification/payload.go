package notification

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Payload is what ARM is told: the status of an asynchronous operation, as its
// own resource shows it. Empty fields are left out. Times keep the zone they have
// and are written as RFC 3339 with as many digits of a second as needed.
type Payload struct {
	ID        string    `json:"id,omitempty"`   // path of the operation in ARM
	Name      string    `json:"name,omitempty"` // its last segment
	Status    string    `json:"status"`         // Succeeded, Failed or Canceled
	StartTime time.Time `json:"startTime,omitzero"`
	EndTime   time.Time `json:"endTime,omitzero"`
	Error     *Error    `json:"error,omitempty"` // nil: none
}

// Error is why an operation did not succeed.
type Error struct {
	Code    string  `json:"code,omitempty"`
	Message string  `json:"message,omitempty"`
	Target  string  `json:"target,omitempty"`
	Details []Error `json:"details,omitempty"`
}

// NewPayload describes an operation that has ended: operationID is its path in
// ARM, which also gives the name; a zero time or a nil failure is left out.
func NewPayload(operationID, status string, start, end time.Time, failure *Error) Payload {
	return Payload{
		ID:        operationID,
		Name:      operationID[strings.LastIndexByte(operationID, '/')+1:],
		Status:    status,
		StartTime: start,
		EndTime:   end,
		Error:     failure,
	}
}

// encode writes the payload as the front end writes it for those who ask.
func (p Payload) encode() ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetIndent("", "    ")
	if err := encoder.Encode(p); err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	return bytes.TrimSuffix(body.Bytes(), []byte("\n")), nil
}
